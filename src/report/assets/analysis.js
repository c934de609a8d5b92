// The page of `evenkeel analyze`: one or several models, side by side. One layer and one data set are chosen for all charts, and
// one model where there are too many for panels; the address keeps the choice, so that a link leads to a chart as it is seen.
//
// report.analyses = [{name, results, tables, pairs}]: tables as in report.tables, `pairs` the co-activation counts.

const analysisView = { layer: 0, model: 0, domain: "", mode: "all_pairs", kind: "input", experts: new Map() };
const analysisCharts = new Set();

function addAnalysisSections(report) {
  if (report.analyses.length === 0) return;
  const layers = analysisLayers(report);
  const domains = analysisDomains(report);
  takeView(report, layers, domains, addressParts());
  addAnalysisControls(report, layers, domains);
  addExpertLoadSection(report);
  addDomainSection(report);
  addAgreementSection(report);
  addVocabularySection(report);
  addIdSection(report);
  addPairsSection(report);
  addLocalitySection(report);
  addDropsByPositionSection(report);
  addClusterSection(report);
  addRecomputedLossSection(report);
  addAnalysisNotes(report);
  addAnalysisTables(report);
  keepInAddress({ parts: () => [["layer", analysisView.layer], ["model", analysisView.model], ["data", encodeURIComponent(analysisView.domain)]],
    take: (wanted) => {
      takeView(report, layers, domains, wanted);
      for (const update of analysisUpdates) update();
      redrawAnalysis();
      for (const refresh of analysisRefreshes) refresh(report);
    } });
}

// ---- what is there -------------------------------------------------------------------------------

function analysisRecords(analysis, table) {
  const found = analysis.tables.get(table);
  return found ? found.records : [];
}

function anyRecords(report, table) { return report.analyses.some((analysis) => analysisRecords(analysis, table).length > 0); }

function allRecords(report) { return report.analyses.flatMap((analysis) => [...analysis.tables.values()].flatMap((table) => table.records)); }

function analysisLayers(report) {
  return unique(allRecords(report).flatMap((record) => [record.layer, record.layer_from]).filter(isNumber)).sort((a, b) => a - b);
}

// Of every table: which analyses were asked for decides which tables there are.
function analysisDomains(report) {
  return unique(allRecords(report).flatMap((record) => [record.domain, record.data, record.domain_a, record.domain_b]).filter((name) => typeof name === "string"));
}

function chosenModel(report) { return report.analyses[Math.min(analysisView.model, report.analyses.length - 1)]; }

// ---- the choice, and its address ----------------------------------------------------------------

const analysisUpdates = [];  // bring the controls up to the choice

function addAnalysisControls(report, layers, domains) {
  const bar = make("div", { class: "analysis-bar controls", id: "analysis-controls", role: "group", "aria-label": "Layer, model and data set of the charts" });
  if (layers.length > 0) {
    const slider = make("input", { type: "range", id: "analysis-layer", min: "0", max: String(layers.length - 1), step: "1", "aria-describedby": "analysis-layer-text" });
    const output = make("output", { id: "analysis-layer-text", for: "analysis-layer" });
    const update = () => {
      slider.value = String(Math.max(0, layers.indexOf(analysisView.layer)));
      output.textContent = `layer ${analysisView.layer}`;
      slider.setAttribute("aria-valuetext", output.textContent);
    };
    let pending = false;
    slider.addEventListener("input", () => {
      analysisView.layer = layers[Number(slider.value)];
      update();
      if (pending) return;
      pending = true;
      requestAnimationFrame(() => { pending = false; choiceChanged(report); });
    });
    analysisUpdates.push(update);
    bar.append(make("label", { class: "wide", for: "analysis-layer" }, make("span", {}, "Layer: ", output), slider));
  }
  const choice = (id, label, options, key) => {
    if (options.length < 2) return;
    const control = makeSelect(id, label, options, (value) => { analysisView[key] = value; choiceChanged(report); });
    const select = control.querySelector("select");
    analysisUpdates.push(() => { select.selectedIndex = Math.max(0, options.findIndex(([value]) => value === analysisView[key])); });
    bar.append(control);
  };
  choice("analysis-model", "Model", report.analyses.length > kMostPanels ? report.analyses.map((analysis, i) => [i, analysis.name]) : [], "model");
  choice("analysis-domain", "Data set", domains.map((name) => [name, name]), "domain");
  for (const update of analysisUpdates) update();
  document.getElementById("content").append(bar);
}

function choiceChanged(report) {
  keepAddressSoon();
  redrawAnalysis();
  for (const refresh of analysisRefreshes) refresh(report);
}

const analysisRefreshes = [];  // of what is no chart

function redrawAnalysis() { for (const id of analysisCharts) drawChart(id); }

function takeView(report, layers, domains, wanted) {
  const layer = Number(wanted.layer);
  const model = Number(wanted.model);
  const domain = decoded(wanted.data || "");
  analysisView.layer = layers.includes(layer) ? layer : layers[Math.floor(layers.length / 2)];
  analysisView.model = Number.isInteger(model) && model >= 0 && model < report.analyses.length ? model : 0;
  analysisView.domain = domains.includes(domain) ? domain : domains[0];
}

// A section that `fill` puts charts into; without one there is no heading either.
function addAnalysisSection(id, title, intro, fill) {
  const section = addSection(id, title, intro);
  fill(section);
  if (section.querySelector("figure")) return;
  section.remove();
  document.querySelector(`#toc a[href="#${id}"]`).closest("li").remove();
}

// A chart of the analysis page. `tables`: it is there when a model has rows in one of them that satisfy
// `where`, whatever layer and data set are chosen first.
function addAnalysisChart(report, section, { tables, where = () => true, ...chart }) {
  const isThere = tables && (() => tables.some((table) => report.analyses.some((analysis) => analysisRecords(analysis, table).some(where))));
  const build = (width) => withModelName(report, chart.build(width));
  if (addChart(section, { ...chart, build, isThere }) !== null) analysisCharts.add(chart.id);
}

// Among several models, a chart of one says of which.
function withModelName(report, built) {
  if (built === null || report.analyses.length < 2) return built;
  const models = unique(built.data.map((trace) => trace.meta.model));
  return models.length > 1 ? built : { ...built, note: [`Of ${models[0]}.`, built.note].filter((part) => part).join(" ") };
}

// ---- charts that many sections use ---------------------------------------------------------------

const kSeriesColors = [1, 3, 4, 6, 5, 2, 7];  // of kColors; neighbours are far apart

function seriesStyle(index, model) {
  const n = kSeriesColors.length;
  return { color: kColors[isDark() ? "dark" : "light"][kSeriesColors[index % n]], dash: kDashes[(model + Math.floor(index / n)) % kDashes.length],
    symbol: kSymbols[model % kSymbols.length] };
}

// What a line runs over: a column of its table, and the word for it.
const kOverLayers = { column: "layer", word: "layer" };
const kOverSteps = { column: "from_step", word: "step" };

// Lines over x: one for each series(record) of each of the analyses. The interval is that of the columns `VALUE_low` and `VALUE_high`
// where the table has them; `chance` is a column of chance levels (dotted, in the line's colour). Rows without an x, as sums over
// all layers, are no points. `records` gives the rows where they are not those of the table as it is; `meta` is added to what
// the traces say of themselves.
function lineTraces(report, x, { table, value, series, where = () => true, chance, percent = false, records = (analysis) => analysisRecords(analysis, table), analyses = report.analyses, meta = {} }) {
  const rows = (analysis) => records(analysis).filter((record) => isNumber(record[x.column]) && isNumber(record[value]) && where(record));
  const names = unique(analyses.flatMap((analysis) => rows(analysis).map(series)));
  const format = percent ? ".2%" : ".4f";
  const data = [];
  for (const analysis of analyses) {
    const model = report.analyses.indexOf(analysis);
    names.forEach((name, index) => {
      const line = rows(analysis).filter((record) => series(record) === name).sort((a, b) => a[x.column] - b[x.column]);
      if (line.length === 0) return;
      const style = names.length === 1 ? seriesStyle(model, model) : seriesStyle(index, model);  // one line a model: a colour a model
      const label = lineLabel(report, analysis, name);
      const about = { table, series: name, model: analysis.name, ...meta };
      const shared = { type: "scatter", x: line.map((record) => record[x.column]), legendgroup: `${model}-${index}`, records: line };
      data.push({ ...shared, mode: "lines+markers", name: label, y: line.map((record) => record[value]), error_y: intervalBars(line, value, style.color),
        line: { color: style.color, dash: style.dash, width: 2.2 }, marker: { color: style.color, symbol: style.symbol, size: 7 },
        customdata: line.map((record) => hoverCounts(analysis, table, record, { value, chance })),
        hovertemplate: `${x.word} %{x}: %{y:${format}}%{customdata}<extra>${label}</extra>`, meta: { role: `${x.word}-line`, value, ...about } });
      if (chance && line.some((record) => isNumber(record[chance])))
        data.push({ ...shared, mode: "lines", y: line.map((record) => record[chance]), line: { color: style.color, dash: "dot", width: 1.3 }, opacity: 0.8,
          name: `${label}, ${chanceWords(chance)}`, showlegend: false, hovertemplate: `${x.word} %{x}: ${chanceWords(chance)} %{y:${format}}<extra>${label}</extra>`, meta: { role: "chance-line", value: chance, ...about } });
    });
  }
  return data;
}

function layerLines(report, { title, percent = false, height = 380, ...lines }) {
  const data = lineTraces(report, kOverLayers, { percent, ...lines });
  if (data.length === 0) return null;
  const layers = analysisLayers(report);
  return { data, height, note: layers.length > 1 ? kCursorWords : "", layout: { hovermode: "closest", shapes: [layerCursor()],
    xaxis: { title: "layer", dtick: countTicks(layers.length, innerWidth), tickformat: "d", range: [layers[0] - 0.4, layers.at(-1) + 0.4], zeroline: false },
    yaxis: { title, tickformat: percent ? ".0%" : undefined, rangemode: percent ? "tozero" : undefined, zeroline: false } } };
}

function lineLabel(report, analysis, name) {
  const between = innerWidth < kNarrow ? "<br>" : " · ";
  return report.analyses.length > 1 ? [name, analysis.name].filter((part) => part).map((part) => chartText(part, 28)).join(between) : chartText(name || analysis.name);
}

// Error bars from the columns VALUE_low and VALUE_high; undefined where the rows have none.
function intervalBars(rows, value, color) {
  const [low, high] = [`${value}_low`, `${value}_high`];
  if (!rows.some((record) => isNumber(record[low]) && isNumber(record[high]))) return undefined;
  return { type: "data", symmetric: false, color, thickness: 1.2, width: 3, array: rows.map((record) => gap(record[high], record[value])),
    arrayminus: rows.map((record) => gap(record[value], record[low])) };
}

function gap(upper, lower) { return isNumber(upper) && isNumber(lower) ? Math.max(0, upper - lower) : 0; }

const kCursorWords = "Vertical line: the chosen layer.";

function layerCursor() {
  return { type: "line", x0: analysisView.layer, x1: analysisView.layer, y0: 0, y1: 1, yref: "y domain", layer: "below", line: { color: themeColor("focus"), width: 1.5 } };
}

// Columns that count what a row was computed from, and what they count.
const kCounts = { tokens: "tokens", occurrences: "tokens", tokens_a: "tokens of the first expert", ids: "ids", pairs: "pairs", positions: "positions", experts: "experts" };

// What a column of levels is: of uniform routing, or of experts that are chosen without a look at the token (docs/analyses.md).
function chanceWords(column) { return column.startsWith("load_") ? "by load alone" : "chance"; }

// What stands behind a figure of a row, for its hover text: interval, chance level, counts.
function hoverCounts(analysis, table, record, { value = "", chance = "chance" } = {}) {
  const words = [];
  if (isNumber(record[`${value}_low`]) && isNumber(record[`${value}_high`])) words.push(`95 %: ${formatNumber(record[`${value}_low`])} to ${formatNumber(record[`${value}_high`])}`);
  if (isNumber(record[chance])) words.push(`${chanceWords(chance)} ${formatNumber(record[chance])}`);
  if (isNumber(record.baseline_deviation)) words.push(`± ${formatNumber(record.baseline_deviation)}`);
  if (isNumber(record.p_value)) words.push(`p = ${formatNumber(record.p_value)}`);
  const counts = Object.keys(kCounts).filter((key) => isNumber(record[key]));
  words.push(...counts.map((key) => `${formatNumber(record[key])} ${kCounts[key]}`));
  if (counts.length === 0) words.push(tokensBehind(analysis, table, record));
  const text = words.filter((word) => word !== "").join(", ");
  return text === "" ? "" : `<br>${text}`;
}

// For rows that count nothing themselves: the tokens of their data sets, which the table of loads has, or all of the table.
function tokensBehind(analysis, table, record) {
  const names = [record.domain, record.data, record.domain_a, record.domain_b].filter((name) => typeof name === "string");
  const known = names.map((name) => [name, domainTokens(analysis, record.layer, name)]);
  if (known.length === 1 && known[0][1] !== null) return `${formatNumber(known[0][1])} tokens`;
  if (known.length > 1 && known.every(([, tokens]) => tokens !== null)) return known.map(([name, tokens]) => `${chartText(name, 20)}: ${formatNumber(tokens)} tokens`).join(", ");
  const { tokens } = analysis.tables.get(table) || {};
  return isNumber(tokens) ? `${formatNumber(tokens)} tokens of all data sets` : "";
}

function domainTokens(analysis, layer, domain) {
  const row = analysisRecords(analysis, "load").find((record) => record.layer === layer && record.domain === domain);
  return row && isNumber(row.tokens) ? row.tokens : null;
}

// The paper that a table's definition is from, and where in it. The definition itself speaks of columns and stands with the table.
function tableSource(report, name) {
  const table = report.analyses.map((analysis) => analysis.tables.get(name)).find((found) => found);
  const [paper] = /arXiv \d{4}\.\d{5}(, (eq\. \d+|figures? \d+( and \d+)?|section \d+|table \d+))?/.exec((table && table.source) || "") || [];
  return paper ? ` Source: ${paper}.` : "";
}

// A heat map of `rows` × `columns` with one cell for each.
function heatMap({ z, x, y, text, records, scale, zmin, zmax, bar, xTitle, yTitle, meta, height, width }) {
  return { height, data: [{ type: "heatmap", z, x, y, records, customdata: text, hovertemplate: "%{customdata}<extra></extra>", colorscale: scale, zmin, zmax,
    xgap: x.length > 70 ? 0 : 1, ygap: y.length > 70 ? 0 : 1, colorbar: { thickness: 14, outlinewidth: 0, tickfont: { color: themeColor("soft") }, ...bar }, meta }],
    layout: { margin: { t: 14, r: 0 },
      xaxis: { title: xTitle, showgrid: false, zeroline: false, type: "category", nticks: width < kNarrow ? 8 : 32, uirevision: meta.role },
      yaxis: { title: yTitle, showgrid: false, zeroline: false, type: "category", autorange: "reversed", nticks: width < kNarrow ? 16 : 32, uirevision: meta.role } } };
}

const kMostPanels = 4;  // models that stand side by side; of more, the chosen one alone
const kPanelGap = 92;  // px between rows of panels: axis titles, and the name of the model below them

function modelsShown(report) { return report.analyses.length <= kMostPanels ? report.analyses : [chosenModel(report)]; }

// The chart that build(analysis, width, the data sets of all models) gives, for every model that has one: a panel each, at most `most` side by side, one below the other
// where it is narrow, on one scale of colours and of values. What names a series in several panels stands in the legend once.
function modelPanels(report, width, build, most = 2) {
  const analyses = modelsShown(report);
  const { columns } = panelGrid(analyses.length, width, most);
  const domains = analysisDomains(report);
  const made = analyses.map((analysis) => ({ analysis, built: build(analysis, width / columns, domains) })).filter(({ built }) => built !== null);
  if (made.length === 0) return null;
  if (report.analyses.length === 1) return made[0].built;
  const panelHeight = Math.max(...made.map(({ built }) => built.height));
  const grid = panelGrid(made.length, width, most);
  const first = made[0].built.layout;
  const top = 34 + Math.max(0, ...made.map(({ built }) => (built.layout.margin || {}).t ?? 0));
  const gap = kPanelGap + (width < kNarrow && made.some(({ built }) => hasLongTicks(built)) ? 45 : 0);
  const height = grid.rows * panelHeight + (grid.rows - 1) * gap;
  const layout = { ...first, annotations: [], shapes: [], margin: { ...first.margin, t: top } };
  const scales = sharedScales(made.map(({ built }) => built.data));
  const inLegend = new Set();
  const data = made.flatMap(({ analysis, built }, i) => {
    const panel = panelPlace(i, grid, gap / (height - top - 48));
    placeAxes(layout, built.layout, panel, i);
    layout.annotations.push({ text: `<b>${chartText(analysis.name, Math.min(34, Math.floor(width / grid.columns / (width < kNarrow ? 17 : 11))))}</b>`, showarrow: false, x: panel.x[0], y: panel.y[1], xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom",
      yshift: top - 30, font: { size: 14 } });
    for (const note of built.layout.annotations || []) layout.annotations.push({ ...note, x: panel.x[0] + note.x * (panel.x[1] - panel.x[0]), y: panel.y[0] + note.y * (panel.y[1] - panel.y[0]) });
    for (const shape of built.layout.shapes || []) layout.shapes.push({ ...shape, xref: `x${panel.suffix} domain`, yref: `y${panel.suffix}` });
    return built.data.map((trace) => ({ ...trace, ...scales(trace, i), ...placeTrace(trace, panel), ...legendOnce(trace, inLegend) }));
  });
  return { data, layout, height, note: made.map(({ analysis, built }) => (built.note ? `${analysis.name}: ${built.note}` : "")).filter((note) => note).join(" ") };
}

// Names under a heat map stand aslant where it is narrow.
function hasLongTicks({ data }) { return data.some((trace) => trace.type === "heatmap" && trace.x.some((x) => String(x).length > 5)); }

// Where panel i of a grid lies, in shares of the figure, which flows need: they have no axes.
function panelPlace(i, { columns, rows, suffix }, gap) {
  const [column, row] = [i % columns, Math.floor(i / columns)];
  const [gapX, gapY] = [columns > 1 ? 0.12 : 0, rows > 1 ? gap : 0];
  const [w, h] = [(1 - gapX * (columns - 1)) / columns, (1 - gapY * (rows - 1)) / rows];
  const [left, bottom] = [column * (w + gapX), 1 - row * (h + gapY) - h];
  return { suffix: suffix(i), column, x: [left, left + w], y: [bottom, bottom + h] };
}

// The axes of a panel. Those of values are the first panel's, to compare by; those with places of their own (experts, ticks) are not.
function placeAxes(layout, built, { suffix, column, x, y }, i) {
  if (!built.xaxis) return;
  const hasOwnPlaces = (axis) => axis.type === "category" || axis.tickvals || axis.range;
  const shared = (axis, name) => (i === 0 || hasOwnPlaces(axis) ? {} : { matches: name });
  layout[`xaxis${suffix}`] = { ...built.xaxis, ...shared(built.xaxis, "x"), domain: x, anchor: `y${suffix}` };
  layout[`yaxis${suffix}`] = { ...built.yaxis, ...shared(built.yaxis, "y"), domain: y, anchor: `x${suffix}`, title: column === 0 ? built.yaxis.title : undefined };
}

function placeTrace(trace, { suffix, x, y }) { return trace.type === "sankey" ? { domain: { x, y } } : { xaxis: `x${suffix}`, yaxis: `y${suffix}` }; }

// One scale of colours for the heat maps of all panels, with one bar.
function sharedScales(traces) {
  const maps = traces.flat().filter((trace) => trace.type === "heatmap");
  const ends = { zmin: Math.min(...maps.map((map) => map.zmin)), zmax: Math.max(...maps.map((map) => map.zmax)) };
  return (trace, i) => (trace.type === "heatmap" ? { ...ends, showscale: i === 0 } : {});
}

// A trace of a name that an earlier panel has is switched with that one.
function legendOnce(trace, inLegend) {
  if (!trace.name) return {};
  const legendgroup = trace.legendgroup ?? trace.name;
  const isFirst = !inLegend.has(legendgroup + trace.name);
  inLegend.add(legendgroup + trace.name);
  return { legendgroup, showlegend: trace.showlegend !== false && isFirst };
}

function addAnalysisNotes(report) {
  const notes = report.analyses.flatMap((analysis) => (analysis.results.notes || []).map((note) => (report.analyses.length > 1 ? `${analysis.name}: ${note}` : note)));
  if (notes.length === 0) return;
  const section = addSection("analysis-notes", "What the analyses lacked", "Where an analysis lacks something that it needs, its table is missing, or has rows without the figures that depend on it.");
  section.append(make("ul", {}, ...unique(notes).map((note) => make("li", {}, note))));
}

function addAnalysisTables(report) {
  const section = addSection("analysis-tables", "Tables of the analyses",
    "Numbers are rounded for reading; hold the pointer over one for all its digits. The CSV has them all.");
  for (const analysis of report.analyses) {
    if (report.analyses.length > 1) section.append(make("h3", {}, analysis.name));
    for (const table of analysis.tables.values()) {
      if (table.rows.length > 0) section.append(tableBlock(table, false));
    }
  }
}
