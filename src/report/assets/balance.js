// What the routers did: imbalance around the shift, entropy, dead experts, imbalance at evaluation.

const balanceView = { layer: "mean", range: "shift", arm: 0 };

function addBalanceSection(report) {
  const groups = report.groups.filter((group) => group.isMoe);
  const section = addSection("balance", "Router balance",
    "MRI (maximum routing imbalance) is the share of tokens that the busiest expert of a layer receives. It cannot fall below k/E, the dashed line, where all experts are equally busy.");
  const layers = layersOf(report.arms);
  const arms = report.arms.filter((arm) => arm.isMoe);
  balanceView.layer = layers.length > 1 ? "mean" : layers[0];
  balanceView.arm = Math.max(0, arms.findIndex((arm) => arm.model === "granular"));
  const redraw = () => ["mri", "mri-layers", "entropy", "dead", "drops"].forEach(drawChart);
  section.append(make("div", { class: "controls" },
    makeSelect("balance-layer", "Layer", layerOptions(layers), (layer) => { balanceView.layer = layer; redraw(); }),
    arms.some((arm) => arm.shift) ? makeChoice("balance-range", "Range of steps", [["shift", `around the ${hasBorders(arms) ? "first " : ""}shift`], ["all", "whole run"]],
      (range) => { balanceView.range = range; redraw(); }) : null));
  addChart(section, { id: "mri", title: "Imbalance of every training batch",
    caption: `${arms.some((arm) => arm.shift) ? `${hasBorders(arms) ? "A phase begins at each dotted line" : "The second phase begins at the dotted line"}.${spikeWords(report)}` : "Lower is more even."}${strideNote(report)}${seedNote(report)}`,
    missing: "No routing was recorded.",
    build: (width) => buildBalanceLines(report, groups, { key: "mri", title: "MRI, share of tokens", hasBounds: true }, width) });
  addChart(section, { id: "mri-layers", title: "The same, layer by layer",
    caption: `One line per layer of one arm; colours run from the first layer to the last.${strideNote(report)}`,
    controls: arms.length > 1 ? [makeSelect("mri-arm", "Arm", arms.map((arm, i) => [i, arm.name]),
      (index) => { balanceView.arm = index; drawChart("mri-layers"); }, balanceView.arm)] : null,
    build: (width) => buildLayerLines(arms, layers, width) });
  addChart(section, { id: "shift", title: "Before, at and after the shift",
    caption: `Mean over layers. Before: ${beforeWords(arms)}; first: the first step on new data; peak: the highest of ${stepsWords("first", shiftedSteps(arms, "after"))}; after: the last eighth of the phase. Vertical bar: the lower bound k/E. ${report.seeds > 1 ? "Whiskers: ± 1 standard deviation over seeds." : "Of training no counts by window are kept, so of one seed these have no interval."}`,
    build: (width) => buildShift(report, groups, width) });
  addChart(section, { id: "eval-mri", title: "Imbalance on held-out text",
    caption: `Pooled over the whole held-out set, plain evaluation routing (no Sinkhorn step), mean over layers. Vertical bars: the lower bound k/E.${mriErrorNote(report)}`,
    build: (width) => buildEvalMri(report, groups, width) });
  const pair = make("div", { class: "pair" });
  section.append(pair);
  addChart(pair, { id: "entropy", title: "Entropy of the load", caption: `${kEntropyEnds}${strideNote(report)}`,
    build: (width) => buildBalanceLines(report, groups, { key: "entropy", title: "entropy ÷ ln E" }, width) });
  const dead = buildBalanceLines(report, groups, { key: "dead", title: "" }, 800);
  if (dead && dead.data.every((trace) => trace.y.every((value) => value === 0))) {
    addNote(pair, noDeadNote(report));
  } else {
    addChart(pair, { id: "dead", title: "Dead experts", caption: `Experts of a layer that received no token in the step${layers.length > 1 ? " (a mean over layers, unless one is chosen)" : ""}, whole run.${strideNote(report)}`,
      build: (width) => buildBalanceLines(report, groups, { key: "dead", title: "experts without a token" }, width) });
  }
  addDropsChart(report, section, groups);
}

// What a spike at the line is, where a router's first step on new data is less even than those before by a fifth or more.
function spikeWords(report) {
  const { records } = report.tables.get("shift_mri") || { records: [] };
  const isSpike = ({ layer, before, first }) => layer === null && isNumber(before) && isNumber(first) && first >= 1.2 * before;
  return records.some(isSpike) ? " A spike there is a router, balanced on the old text, that meets the new text unbalanced." : "";
}

// Of a thinned page it says which steps were looked at.
function noDeadNote(report) {
  const thinned = strides(report);
  const looked = thinned.length === 0 ? "In every step" : `In the steps that this page has, of long runs one in ${thinned.join(" or ")},`;
  return `Dead experts: none. ${looked} each expert of each layer received at least one token, so there is no chart.`;
}

function beforeWords(arms) {
  const ofHeldOut = "held-out text of the old data at step 0";
  if (arms.every(isContinued)) return ofHeldOut;
  return `${stepsWords("last", shiftedSteps(arms, "before"))}${arms.some(isContinued) ? `, or of an arm whose weights come from elsewhere ${ofHeldOut}` : ""}`;
}

// How many steps the arms had before, or after, their shifts.
function shiftedSteps(arms, side) {
  if (side === "before") return arms.flatMap((arm) => arm.borders.map(({ step }) => step));
  return arms.flatMap((arm) => arm.phases.slice(isContinued(arm) ? 0 : 1).map(({ steps }) => steps));
}

// "the first 50 steps", the true number of those that had fewer: "the first 4 to 50 steps".
function stepsWords(which, numbers) {
  const steps = numbers.map((number) => Math.min(50, number)).filter((number) => number > 0);
  const [least, most] = steps.length > 0 ? [Math.min(...steps), Math.max(...steps)] : [50, 50];
  return `the ${which} ${least === most ? (most === 1 ? "step" : `${most} steps`) : `${least} to ${most} steps`}`;
}

// What whiskers of the MRI on held-out text are; "" where nothing is known.
function mriErrorNote(report) {
  const known = report.arms.some((arm) => arm.evals.some((line) => Object.values(line.eval).some((figures) => isNumber(figures.mri_se))));
  if (report.seeds > 1) return ` Whiskers: ± 1 standard deviation over seeds${known ? ", no less than the standard error by the held-out text" : ""}${sharedStartWords(report)}.`;
  return known ? " Whiskers: ± 1 standard error, by a bootstrap of blocks of the text's windows; another seed may differ by more." : "";
}

function stepsAxis(arms, view) {
  const axis = { title: "step", uirevision: view };
  const shifted = arms.find((arm) => arm.shift);
  if (view === "shift" && shifted) {
    const last = shifted.steps.at(-1).step;
    axis.range = [Math.max(0, shifted.shift.step - 50), Math.min(last, shifted.shift.step + 130) + 1];
  }
  return axis;
}

// Arms without a step in the range that is shown have no line, and so no entry in the legend.
function outsideWords(traces) {
  return traces.length === 0 ? "" : `Without a step in this range: ${traces.map((trace) => trace.meta.group).join(", ")}.`;
}

function buildBalanceLines(report, groups, { key, title, hasBounds = false }, width) {
  const { layer } = balanceView;
  const range = key === "dead" ? "all" : balanceView.range;
  const data = groups.flatMap((group) => groupLine(group,
    groupSeries(group, (arm) => arm.steps.map((line) => [line.step, routingFigure(line.routing, layer, key)])),
    { width: 1.9, meta: { figure: key, layer }, limits: key === "dead" ? [0, Infinity] : kShareLimits }));
  if (data.every((trace) => trace.x.length === 0)) return null;
  const arms = groups.flatMap((group) => group.arms);
  const marks = shiftMarks(arms, "steps");
  const axis = stepsAxis(arms, range);
  const visible = visibleRange(data, axis.range);
  const outside = axis.range ? data.filter((trace) => trace.meta.role === "line" && !trace.x.some((x) => x >= axis.range[0] && x <= axis.range[1])) : [];
  for (const trace of outside) trace.showlegend = false;
  if (hasBounds) addLevels(data, marks, bounds(groups), width);
  return { data, height: width < kNarrow ? 380 : hasBounds ? 430 : 320, note: outsideWords(outside), layout: { ...marks, hovermode: "closest", xaxis: axis,
    yaxis: { title, uirevision: `${range}${layer}`, ...(hasBounds ? { rangemode: "tozero", tickformat: ".0%" } : {}), ...(visible ? { range: visible } : {}), ...(key === "dead" ? { rangemode: "tozero" } : {}) } } };
}

// The values in view decide the y axis: a collapse in the first steps must not flatten the shift.
function visibleRange(data, xRange) {
  if (!xRange) return null;
  const values = data.flatMap((trace) => trace.y.filter((_, i) => trace.x[i] >= xRange[0] && trace.x[i] <= xRange[1]));
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low) * 0.08 || 0.01;
  return data[0].meta.figure === "mri" ? [0, high + room] : [low - room, high + room];
}

// The lower bounds k/E among the groups, for addLevels.
function bounds(groups) {
  const values = unique(groups.flatMap((group) => group.arms.map((arm) => arm.lower_bound)).filter(isNumber)).sort((a, b) => a - b);
  return values.map((bound) => [bound, `k/E = ${(bound * 100).toPrecision(3)}%`]);
}

function buildLayerLines(arms, layers, width) {
  const arm = arms[Math.min(balanceView.arm, arms.length - 1)];
  if (!arm) return null;
  const colors = layerColors(layers.length);
  const data = layers.map((layer, i) => {
    const points = arm.steps.map((line) => [line.step, routingFigure(line.routing, layer, "mri")]).filter((point) => point[1] !== null);
    return { type: "scatter", mode: "lines", name: `layer ${layer}`, x: points.map((point) => point[0]), y: points.map((point) => point[1]),
      line: { color: colors[i], width: 1.9, dash: kDashes[i % 3] }, meta: { role: "layer", arm: arm.name, layer, figure: "mri" },
      rows: points.map(([step, value]) => ({ arm: arm.name, layer, step, MRI: value })) };
  }).filter((trace) => trace.x.length > 0);
  if (data.length === 0) return null;
  const marks = shiftMarks([arm], "steps");
  const range = visibleRange(data, stepsAxis([arm], balanceView.range).range);
  addLevels(data, marks, bounds([{ arms: [arm] }]), width);
  return { data, height: 360, note: arms.length > 1 ? `Shown: ${arm.name}.` : "", layout: { ...marks, hovermode: "closest", xaxis: stepsAxis([arm], balanceView.range),
    yaxis: { title: "MRI, share of tokens", tickformat: ".0%", uirevision: `${balanceView.range}${balanceView.arm}`, ...(range ? { range } : { rangemode: "tozero" }) } } };
}

const kShiftPoints = [["before", "circle-open"], ["first", "diamond"], ["peak", "triangle-up"], ["after", "circle"]];

// One row for each shift of a group: its four figures on a line, and the bound as a bar.
function buildShift(report, groups, width) {
  const rows = visibleGroups(groups).flatMap((group) => shiftPhases(report, group).map((phase, _, { length }) => ({ group, phase, name: length > 1 ? `${group.name}, ${phase}` : group.name })));
  const at = (row, figure) => groupFigure(report, row.group, "shift_mri", figure, (record) => record.layer === null && record.phase === row.phase);
  const shown = rows.filter((row) => at(row, "before") !== null);
  if (shown.length === 0) return null;
  const ink = themeColor("ink");
  const shapes = [];
  const data = kShiftPoints.map(([figure, symbol]) => ({ type: "scatter", mode: "markers", name: figure,
    x: shown.map((row) => (at(row, figure) || { mean: null }).mean), y: shown.map((_, i) => -i),
    customdata: shown.map((row) => row.group.name), text: shown.map((row) => hoverName(row.name)),
    error_x: errorBars(shown.map((row) => at(row, figure)), { limits: kShareLimits, visible: report.seeds > 1 }),
    hovertemplate: "%{text}<br>%{x:.4f}<extra></extra>",
    marker: { symbol, size: 12, color: shown.map((row) => groupStyle(row.group).color), line: { width: figure === "before" ? 2 : 1, color: figure === "before" ? undefined : ink } },
    showlegend: false, legendgroup: figure, meta: { role: "shift", figure },
    rows: shown.map((row) => figureRow({ arm: row.group.name, phase: row.phase, layer: "mean", figure: `MRI, ${figure}` }, at(row, figure))) }));
  data.push(...kShiftPoints.map(([figure, symbol]) => legendKey(figure, symbol, figure)));
  shown.forEach((row, i) => {
    const values = kShiftPoints.map(([figure]) => at(row, figure)).filter((value) => value !== null).map((value) => value.mean);
    shapes.push({ type: "line", x0: Math.min(...values), x1: Math.max(...values), y0: -i, y1: -i, layer: "between",
      line: { color: groupStyle(row.group).color, width: 3 } });
    const bound = at(row, "lower_bound");
    if (bound) shapes.push({ type: "line", x0: bound.mean, x1: bound.mean, y0: -i - 0.28, y1: -i + 0.28, line: { color: themeColor("soft"), width: 3 } });
  });
  return { data, height: 110 + rowPitch(shown, width, 42) * shown.length, layout: { shapes, hovermode: "closest", margin: { l: 20 },
    xaxis: { title: "MRI, share of tokens", rangemode: "tozero", tickformat: ".0%" },
    yaxis: groupRows(shown, width) } };
}

function shiftPhases(report, group) {
  const { records } = report.tables.get("shift_mri") || { records: [] };
  return unique(records.filter((record) => group.arms.some((arm) => arm.name === record.arm)).map((record) => record.phase));
}

// One panel a held-out set, one row a group: its MRI at each phase's end.
function buildEvalMri(report, groups, width) {
  const table = report.tables.get("eval_mri");
  const shown = visibleGroups(groups);
  if (!table || shown.length === 0) return null;
  const sets = unique(table.records.map((record) => record.data));
  const facets = panels(sets, width, 70 + rowPitch(shown, width, 42) * shown.length);
  const data = [];
  const layout = { grid: facets.grid, annotations: facets.annotations, shapes: [], hovermode: "closest", margin: { t: 36, l: 20 } };
  sets.forEach((name, panel) => {
    const suffix = facets.suffix(panel);
    for (const [i, when] of ["first", "last"].entries()) {
      const figures = shown.map((group) => evalMriOf(report, group, name, when));
      if (figures.every((figure) => figure === null)) continue;
      data.push({ type: "scatter", mode: "markers", showlegend: false, legendgroup: when, x: figures.map((figure) => (figure ? figure.mean : null)), y: shown.map((_, row) => -row),
        customdata: shown.map((group) => group.name), text: shown.map((group) => hoverName(group.name)),
        hovertemplate: "%{text}<br>%{x:.4f}<extra></extra>", xaxis: `x${suffix}`, yaxis: `y${suffix}`,
        error_x: errorBars(figures, { limits: kShareLimits, visible: figures.some((figure) => figure && figure.std > 0) }),
        marker: { size: 12, symbol: i === 0 ? "circle-open" : "circle", color: shown.map((group) => groupStyle(group).color), line: { width: 2 } },
        meta: { role: "eval-mri", data: name, when },
        rows: shown.map((group, row) => figureRow({ arm: group.name, "data set": name, when: whenWords(group.arms, when), layer: "mean", figure: "MRI" }, figures[row])).filter((row) => row.seeds > 0) });
    }
    shown.forEach((group, row) => {
      const bound = group.arms[0].lower_bound;
      if (isNumber(bound)) layout.shapes.push({ type: "line", x0: bound, x1: bound, y0: -row - 0.28, y1: -row + 0.28, xref: `x${suffix}`, yref: `y${suffix}`,
        line: { color: themeColor("soft"), width: 3 } });
    });
    layout[`xaxis${suffix}`] = { title: "MRI, share of tokens", rangemode: "tozero", tickformat: ".0%", matches: panel === 0 ? undefined : "x" };
    layout[`yaxis${suffix}`] = { ...groupRows(shown, width), showticklabels: panel % facets.columns === 0 };
  });
  if (data.length === 0) return null;
  data.push(legendKey(whenWords(report.arms, "first"), "circle-open", "first"));
  if (data.some((trace) => trace.meta.when === "last")) data.push(legendKey(whenWords(report.arms, "last"), "circle", "last"));
  return { data, layout, height: facets.height };
}

// When the first and the last evaluation are that the chart of held-out text shows.
function whenWords(arms, when) {
  if (when === "last") return "after the last phase";
  return arms.every(isContinued) ? "at step 0" : arms.some(isContinued) ? "after the first phase, or at step 0" : "after the first phase";
}

// A legend entry in a neutral colour for markers that have their rows' colours.
function legendKey(name, symbol, legendgroup) {
  return { type: "scatter", mode: "markers", name, x: [null], y: [null], legendgroup, hoverinfo: "skip",
    marker: { symbol, size: 12, color: themeColor("soft"), line: { width: symbol.endsWith("open") ? 2 : 0 } }, meta: { role: "key" } };
}

// Mean over the layers of a set's MRI after an arm's first or last phase, with its error by the text where the evaluation has one.
function evalMriOf(report, group, dataName, when) {
  const table = report.tables.get("eval_mri");
  return figureOf(group.arms.map((arm) => {
    if (when === "last" && arm.phases.length < 2 && !isContinued(arm)) return [null];
    const last = arm.phases.length > 0 ? arm.phases.at(-1).name : null;
    const phase = when === "last" ? last : arm.baseline || (arm.phases[0] || {}).name || null;
    const rows = table.records.filter((record) => record.arm === arm.name && record.data === dataName && record.phase === phase
      && record.layer !== null && isNumber(record.mri));
    const line = arm.evals.findLast((candidate) => candidate.eval[dataName] && (candidate.step === 0 ? phase === "step 0" : candidate.phase === phase));
    return rows.length > 0 ? [mean(rows.map((record) => record.mri)), line ? line.eval[dataName].mri_se : null] : [null];
  }));
}
