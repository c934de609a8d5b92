// Routers compared: every routing rule of a study in one table that sorts, and its losses and balance side by side. All
// figures come from the table `routers` of the results, or from `routers_summary` where there are several seeds.

const routersView = { sort: "loss_new", falling: false };

const kRouterFigures = { loss_before: "loss before the shift", loss_new: "loss at the end", loss_old: "loss at the end", mri_before: "MRI before the shift", mri_peak: "MRI at its peak after the shift",
  eval_mri_old: "MRI on held-out old data", eval_mri_new: "MRI on held-out new data" };

// Whether later tokens of a sequence change earlier decisions: [rank for sorting, words, symbol, colour].
const kCausality = {
  causal: [0, "yes", "circle", 2],
  training: [1, "at evaluation", "circle-open", 4],
  never: [2, "no", "diamond-open", 3],
};

// Of losses in results of before the table had their errors: the phase and the data set of the table `forgetting` whose standard error is theirs. Its first
// phase is no baseline of a run of one phase.
const kRouterLosses = { loss_before: [0, "old_data"], loss_old: [-1, "old_data"], loss_new: [-1, "new_data"] };

function routerError(report, record, name) {
  if (isNumber(record[`${name}_se`])) return record[`${name}_se`];
  if (!Object.hasOwn(kRouterLosses, name) || Object.hasOwn(record, `${name}_se`)) return null;
  const [place, data] = kRouterLosses[name];
  const { phases = [], ...arm } = report.arms.find(({ name: known }) => known === record.arm) || {};
  if (name === "loss_before" && isContinued(arm)) return null;
  const phase = (phases.at(place) || {}).name;
  const losses = (report.tables.get("forgetting") || { records: [] }).records;
  return (losses.find((row) => row.arm === record.arm && row.phase === phase && row.data === record[data]) || {}).loss_se ?? null;
}

// One row a group: {group, record, kind, figure(name) -> {mean, std, n}}, n: seeds that have the figure, std: of errorOver; dense groups have kind null.
function routerRows(report) {
  const rows = [];
  const add = (name, record, figure) => {
    const group = report.groups.find((candidate) => candidate.name === name);
    const kind = record.router === null ? null : record.causal && record.eval_causal ? "causal" : record.eval_causal ? "training" : "never";
    if (group && !rows.some((row) => row.group === group)) rows.push({ group, record, kind, figure });
  };
  const single = (report.tables.get("routers") || { records: [] }).records;
  const groupOf = new Map(report.arms.map((arm) => [arm.name, arm.group]));
  for (const record of (report.tables.get("routers_summary") || { records: [] }).records) {
    const members = single.filter((row) => groupOf.get(row.arm) === record.group);
    const errors = (name) => members.map((row) => (isNumber(row[name]) ? routerError(report, row, name) : null));
    add(record.group, record, (name) => ({ mean: record[`${name}_mean`], std: errorOver(record[`${name}_std`] || 0, errors(name)), n: members.filter((row) => isNumber(row[name])).length }));
  }
  for (const record of single) add(groupOf.get(record.arm), record, (name) => ({ mean: record[name], std: errorOver(0, [routerError(report, record, name)]), n: isNumber(record[name]) ? 1 : 0 }));
  const ranked = rows.filter((row) => row.kind !== null && row.kind !== "never" && isNumber(row.figure("loss_new").mean))
    .sort((a, b) => a.figure("loss_new").mean - b.figure("loss_new").mean);
  for (const row of rows) row.rank = ranked.includes(row) ? ranked.indexOf(row) + 1 : null;
  return rows;
}

function addRoutersSection(report) {
  const rows = routerRows(report);
  if (rows.length === 0) return;
  const { old_data: oldData, new_data: newData } = rows[0].record;
  const seeds = Math.max(...rows.map((row) => row.figure("loss_new").n));
  const section = addSection("routers", "Routers compared",
    `${routingWords(report)}Numbered by the held-out loss on ${newData} at the end; a click on a column's head sorts by it.`
    + `${rows.some((row) => row.kind === "never") ? " Rules that look ahead at evaluation too have no number: their losses are those of a model that sees a little of what it shall predict." : ""}`
    + `${seeds > 1 ? ` Figures are means over ${seeds} seeds; those of losses with ${errorWords(report)}, others with ± 1 standard deviation over seeds.` : ""}`);
  const host = make("div", { class: "scroll compared", tabindex: "0", role: "region", "aria-label": "Table of routers" });
  section.append(host);
  const columns = routerColumns(rows, oldData, newData);
  const sort = (key, falling) => {
    Object.assign(routersView, { sort: key, falling });
    host.replaceChildren(routersTable(sortedRouters(rows, columns), columns, sortBy));
    paintSwatches(report);
    ["routers-loss", "routers-balance"].forEach(drawChart);
  };
  const sortBy = (key) => {
    sort(key, routersView.sort === key && !routersView.falling);
    host.querySelector(`[data-sort="${key}"]`).focus();
    keepAddress();
  };
  const first = { ...routersView };
  keepInAddress({ parts: () => (routersView.sort === first.sort && routersView.falling === first.falling ? [] : [["sort", `${routersView.falling ? "-" : ""}${routersView.sort}`]]),
    take: ({ sort: wanted = first.sort }) => {
      const key = wanted.replace(/^-/, "");
      const falling = wanted.startsWith("-");
      if (columns.some((column) => column.key === key) && (key !== routersView.sort || falling !== routersView.falling)) sort(key, falling);
    } });
  host.append(routersTable(sortedRouters(rows, columns), columns, sortBy));
  const shown = () => sortedRouters(rows, columns).filter((row) => row.kind !== null && !hiddenGroups.has(row.group.index));
  addChart(section, { id: "routers-loss", title: "What each rule is worth",
    caption: `Held-out loss, nats per token: further left is better. Dotted: the dense model${flopAside(report)}.${barNote(report)}`,
    build: (width) => buildRouterPanels(shown(), lossPanels(rows, oldData, newData), width) });
  addChart(section, { id: "routers-balance", title: "And how evenly it uses its experts",
    caption: "Share of the tokens that the busiest expert receives, mean over layers. Grey bars: k/E, a perfect balance. Training shows what a step costs and drops; evaluation what the model does with text.",
    build: (width) => buildRouterPanels(shown(), balancePanels(rows, oldData, newData), width) });
}

// What the arms with a router differ in besides it, from `comparison` of the results.
function routingWords(report) {
  const { other_differences: keys } = report.results.comparison || {};
  if (!keys) return "";
  if (keys.length === 0) return "Everything but the routing is the same. ";
  return `Besides the routing the recipes of the arms differ in ${list(keys.slice(0, 8))}${keys.length > 8 ? " and more" : ""}. `;
}

// {key, head, unit, text(row) or figure format, value(row) to sort by}
function routerColumns(rows, oldData, newData) {
  // format(value, error): the two as text, in the digits that the error carries
  const figure = (key, head, unit, format) => ({ key, head, unit, format, value: (row) => row.figure(key).mean });
  const loss = (value, error) => withError(value, error).split(" ± ");
  const share = (value, error) => withError(value * 100, error * 100).split(" ± ").map((text) => `${text}%`);
  const count = (value, error) => (Number.isInteger(value) && error === 0 ? [String(value)] : loss(value, error));
  const words = (key, head, unit, text, value = text) => ({ key, head, unit, text, value });
  const shifts = oldData !== newData;
  return [
    words("arm", "arm", "", (row) => row.group.name),
    words("causal", "causal", "", (row) => (row.kind === null ? null : kCausality[row.kind][1]), (row) => (row.kind === null ? null : kCausality[row.kind][0])),
    figure("loss_new", shifts ? `${newData} after` : newData, "nats/token", loss),
    ...(shifts ? [figure("loss_before", `${oldData} before`, "nats/token", loss), figure("loss_old", `${oldData} after`, "nats/token", loss)] : []),
    ...(shifts ? [figure("mri_before", "MRI before", "of tokens", share), figure("mri_peak", "MRI at its peak", "of tokens", share), figure("steps_to_recover", "recovers in", "steps", count)] : []),
    ...(shifts ? [figure("eval_mri_old", `MRI on ${oldData}`, "evaluation", share)] : []),
    figure("eval_mri_new", `MRI on ${newData}`, "evaluation", share),
    figure("dropped", "dropped", "of assignments", share),
    figure("dead", "dead", "experts", count),
    words("scope", "looks at", "training, evaluation", (row) => (row.kind === null ? null : `${row.record.scope}, ${row.record.eval_scope}`)),
    words("rule", "rule", "", (row) => (row.kind === null ? "dense" : `${plain(row.record.router)}${row.record.capacity === "none" ? "" : `, drops: ${row.record.capacity}`}`)),
    words("balance", "balance loss", "and coefficient", (row) => row.record.balance),
  ].filter((column) => rows.some((row) => column.value(row) !== null && column.value(row) !== undefined));
}

// Rows without the value go last, whichever way it is sorted.
function sortedRouters(rows, columns) {
  const column = columns.find(({ key }) => key === routersView.sort) || columns[0];
  const sign = routersView.falling ? -1 : 1;
  const missing = (value) => value === null || value === undefined;
  return [...rows].sort((a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    if (missing(x) || missing(y)) return Number(missing(x)) - Number(missing(y));
    return sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y)));
  });
}

function routersTable(rows, columns, sortBy) {
  const head = make("tr", {}, ...columns.map(({ key, head: text, unit, format }) => make("th", { scope: "col", class: format ? "number" : null,
    "aria-sort": routersView.sort === key ? (routersView.falling ? "descending" : "ascending") : null },
    make("button", { type: "button", class: "sort", "data-sort": key, onclick: () => sortBy(key) }, text,
      make("span", { class: "arrow", "aria-hidden": "true" }, routersView.sort === key ? (routersView.falling ? " ▼" : " ▲") : "")),
    unit ? make("span", { class: "soft" }, unit) : null)));
  const body = rows.map((row) => make("tr", { "data-group": row.group.name, class: row.kind === "never" ? "unranked" : null },
    ...columns.map((column, i) => (i === 0 ? armCell(row) : routerCell(row, column)))));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
}

function armCell(row) {
  const style = groupStyle(row.group);
  return make("td", {}, make("span", { class: "rank" }, row.rank === null ? "" : String(row.rank)),
    make("span", { class: "swatch", "aria-hidden": "true", "data-group": row.group.index, style: `border-color:${style.color}` }), row.group.name);
}

function routerCell(row, { key, text, format }) {
  if (!format) return make("td", { "data-key": key }, formatNumber(text(row)));
  const { mean: value, std, n } = row.figure(key);
  if (!isNumber(value)) return make("td", { class: "number", "data-key": key }, "–");
  const seeds = row.group.arms.length;
  const [shown, error] = format(value, std);
  return make("td", { class: "number", "data-key": key, title: `${value}${n > 1 || std > 0 ? ` ± ${std}` : ""}` }, shown,
    error ? make("span", { class: "soft spread" }, ` ± ${error}`) : null,
    n < seeds ? make("span", { class: "soft spread" }, ` (${n} of ${seeds})`) : null);
}

// A panel: {name, percent, zero, marks: [[figure, symbol or null for that of the row's causality, legend]], dense: the dense loss}.
function lossPanels(rows, oldData, newData) {
  const dense = rows.find((row) => row.kind === null);
  const panel = (figure, name) => ({ name, marks: [[figure, null, null]], reference: dense ? dense.figure(figure).mean : null });
  return oldData === newData ? [panel("loss_new", newData)]
    : [panel("loss_before", `${oldData}, before the shift`), panel("loss_new", `${newData}, after it`), panel("loss_old", `${oldData}, after it`)];
}

function balancePanels(rows, oldData, newData) {
  const has = (figure) => rows.some((row) => isNumber(row.figure(figure).mean));
  const out = [];
  if (has("mri_before")) out.push({ name: "Training batches", percent: true, marks: [["mri_before", "circle-open", "before the shift"], ["mri_peak", "triangle-up", "at its peak after it"]] });
  if (has("eval_mri_new")) {
    out.push({ name: "Evaluation, after training", percent: true, marks: oldData === newData ? [["eval_mri_new", "circle", newData]]
      : [["eval_mri_old", "square-open", `held-out ${oldData}`], ["eval_mri_new", "square", `held-out ${newData}`]] });
  }
  return out;
}

// One panel beside the other, a row for each router in the table's order.
function buildRouterPanels(rows, list, width) {
  if (rows.length === 0 || list.length === 0) return null;
  const facets = panels(list.map(({ name }) => name), width, 60 + rowPitch(rows.map((row) => row.group), width, 25) * rows.length, list.length);
  const layout = { grid: facets.grid, annotations: facets.annotations, shapes: [], hovermode: "closest", margin: { t: 36, l: 20 } };
  const color = (row) => kColors[isDark() ? "dark" : "light"][kCausality[row.kind][3]];
  const data = [];
  list.forEach((panel, index) => {
    const suffix = facets.suffix(index);
    const axes = { xref: `x${suffix}`, yref: `y${suffix}` };
    for (const [figure, symbol] of panel.marks) {
      const figures = rows.map((row) => row.figure(figure));
      data.push({ type: "scatter", mode: "markers", showlegend: false, xaxis: `x${suffix}`, yaxis: `y${suffix}`, x: figures.map((value) => (isNumber(value.mean) ? value.mean : null)),
        y: rows.map((_, i) => -i), customdata: rows.map((row) => row.group.name), text: rows.map((row) => hoverName(row.group.name)), hovertemplate: "%{text}<br>%{x:.4f}<extra></extra>",
        error_x: { type: "data", array: figures.map((value) => value.std), visible: figures.some((value) => value.std > 0), color: themeColor("soft"), thickness: 1.3, width: 3 },
        marker: { size: 10, symbol: rows.map((row) => symbol || kCausality[row.kind][2]), color: rows.map(color), line: { width: 1.8, color: rows.map(color) } },
        meta: { role: "routers", figure },
        rows: rows.map((row, i) => figureRow({ arm: row.group.name, panel: panel.name, figure: kRouterFigures[figure] }, figures[i])).filter((row) => row.seeds > 0) });
    }
    addRowShapes(layout.shapes, rows, panel, axes, color);
    if (isNumber(panel.reference)) layout.shapes.push({ type: "line", ...axes, yref: `y${suffix} domain`, x0: panel.reference, x1: panel.reference, y0: 0, y1: 1, layer: "below", line: { color: themeColor("soft"), width: 1.5, dash: "dot" } });
    layout[`xaxis${suffix}`] = panel.percent ? { rangemode: "tozero", tickformat: ".0%" } : { nticks: 5 };
    layout[`yaxis${suffix}`] = { ...groupRows(rows.map((row) => row.group), width), showticklabels: index % facets.columns === 0 };
  });
  const keys = list.flatMap((panel) => panel.marks).filter(([, symbol]) => symbol).map(([figure, symbol, name]) => legendKey(name, symbol, figure));
  const names = { causal: "causal", training: "looks ahead in training only", never: "looks ahead always" };
  const kinds = unique(rows.map((row) => row.kind));
  const symbolsTell = list.some((panel) => panel.marks.some(([, symbol]) => symbol === null));
  if (kinds.length > 1) keys.push(...Object.keys(kCausality).filter((kind) => kinds.includes(kind)).map((kind) => causalityKey(names[kind], kind, symbolsTell)));
  return { data: [...data, ...keys], layout, height: facets.height };
}

// A line between a row's marks, and its bound k/E.
function addRowShapes(shapes, rows, panel, axes, color) {
  rows.forEach((row, i) => {
    const values = panel.marks.map(([figure]) => row.figure(figure).mean).filter(isNumber);
    if (values.length > 1) shapes.push({ type: "line", ...axes, x0: Math.min(...values), x1: Math.max(...values), y0: -i, y1: -i, layer: "below", line: { color: color(row), width: 2 } });
    const bound = row.record.lower_bound;
    if (panel.percent && isNumber(bound)) shapes.push({ type: "line", ...axes, x0: bound, x1: bound, y0: -i - 0.3, y1: -i + 0.3, line: { color: themeColor("soft"), width: 2.5 } });
  });
}

// Where the symbols say something else, the colour alone.
function causalityKey(name, kind, withSymbol) {
  const color = kColors[isDark() ? "dark" : "light"][kCausality[kind][3]];
  return { type: "scatter", mode: withSymbol ? "markers" : "lines", name, x: [null], y: [null], hoverinfo: "skip", line: { color, width: 3 },
    marker: { symbol: kCausality[kind][2], size: 11, color, line: { width: 1.8, color } }, meta: { role: "key" } };
}
