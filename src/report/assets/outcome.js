// What the shift did to the models: forgetting, the price of replay, routing change, tokens, speed.

const saturationView = { k: null, data: null, span: null };

function addForgettingSection(report) {
  const table = report.tables.get("forgetting");
  if (!table || table.records.length === 0) return;
  const since = againstWords(report);
  const section = addSection("forgetting", "Forgetting and replay",
    `Held-out loss after each phase, and how far it moved since ${since}. Rising loss on data that were learned before is forgetting; falling loss on the new data is learning.${replayWords(report)}`);
  const pair = make("div", { class: "pair" });
  section.append(pair);
  addChart(pair, { id: "forgetting", title: "Forgetting matrix",
    caption: `Number: change of the held-out loss since ${since}, nats per token${errorWords(report) ? `, ${errorWords(report)}` : ""}; in brackets, where there is room, the loss. Blue: better than then; orange: worse.`,
    missing: "There is one phase only, so nothing was left behind to forget.", build: (width) => buildForgetting(report, width) });
  addChart(pair, { id: "replay", title: "What replay buys and costs",
    caption: `Each point is an arm at its end; lower left is better.${barNote(report)} A thin line joins arms of one model that differ by the share of replay.`,
    build: (width) => buildReplay(report, width) });
}

// What replay is, where an arm has some.
function replayWords(report) {
  const has = report.arms.some((arm) => arm.replay_fraction > 0);
  return has ? " Replay draws a share of a phase's sequences from old data, in place of so many of its own: steps and tokens stay the same, and those that are replayed count among them." : "";
}

// Whether an arm's weights were trained before its first step, and evaluated there: its figures are held against step 0.
function isContinued(arm) { return arm.baseline === "step 0"; }

// The column of `forgetting` that the page draws; results of before it was told apart have the change since the first phase, or step 0, alone.
function forgettingColumn(report) { return (report.tables.get("forgetting") || { columns: [] }).columns.some(({ name }) => name === "forgetting") ? "forgetting" : "change"; }

// What a row's change is measured against, in words; "" of a row without one.
function againstOf(report, record) {
  if (!record || !isNumber(record[forgettingColumn(report)])) return "";
  const name = record.against ?? (report.arms.find((arm) => arm.name === record.arm) || {}).baseline ?? "the first phase";
  return name === "step 0" ? "step 0" : `the end of ${plain(name)}`;
}

// The same of all rows: with several baselines each cell's hover text has its own.
function againstWords(report) {
  const names = unique(report.tables.get("forgetting").records.map((record) => againstOf(report, record)).filter((words) => words !== ""));
  if (names.length === 0) return "the end of the phase that trained on them";
  return names.length === 1 ? names[0] : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}: the last phase before that trained on the data`;
}

// Rows and columns of the matrix. A study: an arm a row, a data set after a later phase a column;
// a single arm: a phase a row, a data set a column.
function forgettingAxes(report) {
  const records = report.tables.get("forgetting").records;
  const firsts = new Set(report.arms.filter((arm) => !isContinued(arm)).map((arm) => (arm.phases[0] || {}).name));
  const phases = unique(records.map((record) => record.phase)).filter((phase) => !firsts.has(phase));  // nothing was learned before them
  const sets = unique(records.map((record) => record.data));
  const [only] = report.groups;
  if (report.groups.length === 1) {
    return { rows: phases.map((phase) => ({ name: `after ${phase}`, group: only, phase })), columns: sets.map((data) => ({ data })) };
  }
  return { rows: visibleGroups(report.groups).map((group) => ({ name: group.name, group })), columns: phases.flatMap((phase) => sets.map((data) => ({ data, phase }))) };
}

function buildForgetting(report, width) {
  const { rows, columns } = forgettingAxes(report);
  const change = forgettingColumn(report);
  const cell = (row, column, figure) => groupFigure(report, row.group, "forgetting", figure,
    (record) => record.phase === (row.phase || column.phase) && record.data === column.data);
  const z = rows.map((row) => columns.map((column) => (cell(row, column, change) || { mean: null }).mean));
  if (!z.flat().some(isNumber)) return null;
  const limit = Math.max(0.1, ...z.flat().filter(isNumber).map(Math.abs));
  const roomy = width / (columns.length + 1) > 150;
  const withLoss = width / (columns.length + 1) > (errorWords(report) ? 230 : 150);
  const text = rows.map((row) => columns.map((column) => {
    const [figure, loss] = [cell(row, column, change), cell(row, column, "loss")];
    if (!figure) return "";
    const [moved, error] = withError(figure.mean, figure.std, true).split(" ± ");
    return `<b>${moved}</b>${error ? `${roomy ? " " : "<br>"}± ${error}` : ""}${withLoss && loss ? ` (${withError(loss.mean, loss.std).split(" ± ")[0]})` : ""}`;
  }));
  const since = (row, column) => againstOf(report, report.tables.get("forgetting").records.find((record) => record.phase === (row.phase || column.phase) && record.data === column.data
    && row.group.arms.some((arm) => arm.name === record.arm) && isNumber(record[change])));
  const hover = rows.map((row) => columns.map((column) => `${hoverName(row.name)}<br>${chartText(column.data)}${since(row, column) ? `<br>since ${chartText(since(row, column))}` : ""}`));
  const data = [{ type: "heatmap", z, x: columns.map((_, i) => i), y: rows.map((_, i) => -i), text, hovertext: hover, texttemplate: "%{text}",
    hovertemplate: "%{hovertext}<br>change %{z:.4f}<extra></extra>", textfont: { size: 15, color: themeColor("ink") },
    zmin: -limit, zmax: limit, colorscale: changeScale(), showscale: false, xgap: 3, ygap: 3,
    rows: rows.flatMap((row) => columns.flatMap((column) => [change, "loss"].map((figure) => figureRow({ arm: row.group.name, phase: row.phase || column.phase, "data set": column.data,
      figure: figure === change ? "change of the loss" : "loss", since: figure === change ? since(row, column) : "" }, cell(row, column, figure))))).filter((row) => row.seeds > 0),
    meta: { role: "forgetting", rows: rows.map((row) => [row.group.name, row.phase || null]), columns: columns.map((column) => [column.data, column.phase || null]) } }];
  const heading = ({ data: name, phase }) => `<b>${chartText(name, roomy ? 16 : 9)}</b>${phase ? `<br>after${roomy ? " " : "<br>"}${chartText(phase, roomy ? 16 : 9)}` : ""}`;
  return { data, height: Math.max(200, 110 + rowPitch(rows, width, 46) * rows.length), layout: { margin: { t: roomy ? 60 : 78, l: 20, b: 12 },
    xaxis: { side: "top", tickangle: 0, tickvals: columns.map((_, i) => i), ticktext: columns.map(heading), showgrid: false, zeroline: false },
    yaxis: { ...groupRows(rows, width), showgrid: false } } };
}

function endLoss(report, group, dataName) {
  const values = group.arms.map((arm) => {
    const line = arm.evals.findLast((candidate) => candidate.eval[dataName]);
    return line ? [line.eval[dataName].loss, line.eval[dataName].loss_se] : [null, null];
  });
  return figureOf(values);
}

function buildReplay(report, width) {
  const { oldData, newData } = report;
  if (!oldData || !newData) return null;
  const points = report.groups.map((group) => ({ group, replay: group.arms[0].replay_fraction || 0,
    x: endLoss(report, group, newData), y: endLoss(report, group, oldData) })).filter((point) => point.x && point.y);
  if (points.length < 2) return null;
  // Lines join groups that differ in replay alone: results say which do; older ones know only the model and the router.
  const kin = ({ group }) => [group.arms[0].replay_family || group.family, ...group.arms.map((arm) => arm.seed)].join("|");
  const families = unique(points.map(kin));
  const links = families.map((family) => points.filter((point) => kin(point) === family).sort((a, b) => a.replay - b.replay))
    .filter((chain) => unique(chain.map((point) => point.replay)).length > 1)
    .map((chain) => ({ type: "scatter", mode: "lines", x: chain.map((point) => point.x.mean), y: chain.map((point) => point.y.mean),
      line: { color: themeColor("line"), width: 2 }, hoverinfo: "skip", showlegend: false, meta: { role: "link" } }));
  const middle = (Math.min(...points.map((point) => point.x.mean)) + Math.max(...points.map((point) => point.x.mean))) / 2;
  const several = unique(points.map((point) => point.replay)).length > 1;
  const markers = points.map(({ group, replay, x, y }) => {
    const style = groupStyle(group);
    const bars = (figure) => ({ type: "data", array: [figure.std], visible: figure.std > 0, color: themeColor("soft"), thickness: 1.3, width: 3 });
    return { type: "scatter", mode: several ? "markers+text" : "markers", name: legendName(group.name), x: [x.mean], y: [y.mean], error_x: bars(x), error_y: bars(y),
      text: [replay > 0 ? `  ${formatNumber(replay * 100)} % replay  ` : ""], textposition: x.mean > middle ? "top left" : "top right", textfont: { color: themeColor("soft"), size: 13 }, cliponaxis: false,
      hovertemplate: `%{fullData.name}${replay > 0 ? `, ${formatNumber(replay * 100)} % replay` : ""}<br>${chartText(newData)} %{x:.4f}<br>${chartText(oldData)} %{y:.4f}<extra></extra>`,
      marker: { color: style.color, symbol: style.symbol, size: 14, line: { width: 1, color: themeColor("panel") } }, legendgroup: `group-${group.index}`,
      visible: hiddenGroups.has(group.index) ? "legendonly" : true, meta: { role: "replay", group: group.name },
      rows: [[newData, x], [oldData, y]].map(([name, figure]) => figureRow({ arm: group.name, "replay, fraction": replay, "data set": name, figure: "loss at the end" }, figure)) };
  });
  return { data: [...links, ...markers], height: 430, note: several && thinLabels(markers, 0.85 * (width - 90), 280) ? kThinned : "", layout: { hovermode: "closest",
    xaxis: { title: `loss on ${chartText(newData)} (new), nats per token` }, yaxis: { title: `loss on ${chartText(oldData)} (old), nats per token` } } };
}

function addSaturationSection(report) {
  const table = report.tables.get("saturation");
  if (!table || table.records.length === 0 || report.arms.length === 0) return;
  const section = addSection("saturation", "Routing change",
    "Router saturation: the share of a token's experts that are the same before and after the continued training. 1 means that routing did not move; the dashed line is what two unrelated routers would share.");
  const spans = unique(table.records.map((record) => JSON.stringify(spanOf(record)))).map((key) => JSON.parse(key));
  const longest = spans.reduce((best, span) => (span[1] > best[1] ? span : best));
  const ks = unique(table.records.map((record) => record.k)).sort((a, b) => a - b);
  const sets = unique(table.records.map((record) => record.data));
  Object.assign(saturationView, { k: ks.at(-1), data: sets.includes(report.oldData) ? report.oldData : sets[0], span: longest });
  const change = (key) => (value) => { saturationView[key] = value; drawChart("saturation"); };
  const pick = (id, label, options, key) => {
    if (options.length < 2) return null;
    return makeSelect(id, label, options, change(key), options.findIndex(([value]) => value === saturationView[key]));
  };
  const controls = [
    pick("saturation-data", "Held-out set", sets.map((name) => [name, name]), "data"),
    pick("saturation-k", "Experts compared", ks.map((k) => [k, k === 1 ? "first choice (k = 1)" : `top ${k}`]), "k"),
    pick("saturation-span", "Checkpoints", spans.map((span) => [span, spanWords(span)]), "span"),
  ].filter((control) => control !== null);
  addChart(section, { id: "saturation", title: "Saturation by layer",
    caption: `Same tokens, two checkpoints. Arms whose routers have fewer choices than k are left out.${report.seeds > 1 ? " Bars: ± 1 standard deviation over seeds." : ""}`,
    controls, missing: "No saturation was recorded.", build: (width) => buildSaturation(report, width) });
}

// [first step, last step, the run that the first is of]: null where that is the arm's own.
function spanOf({ from, to, from_run: run }) { return [from, to, run ?? null]; }
function spanWords([from, to, run]) { return run === null ? `step ${from} to ${to}` : `step ${from} of ${run} to step ${to}`; }

// Arms stand beside each other within a layer, so that the bars of one do not hide another's.
function armOffset(place, n) { return n > 1 ? 0.36 * (place / (n - 1) - 0.5) : 0; }

function buildSaturation(report, width) {
  const { k, data: dataName, span } = saturationView;
  const at = (record) => record.k === k && record.data === dataName && JSON.stringify(spanOf(record)) === JSON.stringify(span);
  const all = report.tables.get("saturation").records;
  const layers = unique(all.map((record) => record.layer)).sort((a, b) => a - b);
  const data = [];
  for (const [place, group] of report.groups.entries()) {
    const figures = layers.map((layer) => groupFigure(report, group, "saturation", "saturation", (record) => at(record) && record.layer === layer));
    if (figures.every((figure) => figure === null)) continue;
    const style = groupStyle(group);
    data.push({ type: "scatter", mode: "lines+markers", name: legendName(group.name), x: layers.map((layer) => layer + armOffset(place, report.groups.length)), customdata: layers,
      y: figures.map((figure) => (figure ? figure.mean : null)), hovertemplate: `layer %{customdata}<br>%{y:.4f}<extra>${hoverName(group.name)}</extra>`,
      error_y: errorBars(figures, { limits: kShareLimits, color: style.color, visible: report.seeds > 1 }),
      line: { color: style.color, dash: style.dash, width: 2.2 }, marker: { color: style.color, symbol: style.symbol, size: 10 },
      legendgroup: `group-${group.index}`, visible: hiddenGroups.has(group.index) ? "legendonly" : true,
      meta: { role: "saturation", group: group.name, data: dataName, k, from: span[0], to: span[1], fromRun: span[2] },
      rows: layers.map((layer, i) => figureRow({ arm: group.name, "data set": dataName, k, "from step": span[0], ...(span[2] === null ? {} : { "of run": span[2] }), "to step": span[1], layer, figure: "saturation" }, figures[i])).filter((row) => row.seeds > 0) });
  }
  if (data.length === 0) return null;
  const chances = unique(all.filter(at).map((record) => record.chance).filter(isNumber)).sort((a, b) => a - b);
  const layout = { hovermode: "closest", xaxis: { title: "layer", dtick: countTicks(layers.length, width), range: [layers[0] - 0.3, layers.at(-1) + 0.3], zeroline: false },
    yaxis: { title: "saturation", range: [0, 1.03], zeroline: false } };
  addLevels(data, layout, chances.map((chance) => [chance, `chance ${formatNumber(chance)}`]), width);
  return { data, height: 380, layout };
}
