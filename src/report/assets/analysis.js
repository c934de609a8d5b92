// The page of `evenkeel analyze`: one or several models, side by side. One layer, one model and one data set are
// chosen for all charts; the address keeps the choice, so that a link leads to a chart as it is seen.
//
// report.analyses = [{name, results, tables, pairs}]: tables as in report.tables, `pairs` the co-activation counts.

const analysisView = { layer: 0, model: 0, domain: "", mode: "all_pairs", kind: "input", expert: 0 };
const analysisCharts = new Set();

function addAnalysisSections(report) {
  if (report.analyses.length === 0) return;
  const layers = analysisLayers(report);
  const domains = analysisDomains(report);
  readAddress(report, layers, domains);
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
  addEventListener("hashchange", () => {
    readAddress(report, layers, domains);
    for (const update of analysisUpdates) update();
    redrawAnalysis();
    showAddressed();
  });
}

// ---- what is there -------------------------------------------------------------------------------

function analysisRecords(analysis, table) {
  const found = analysis.tables.get(table);
  return found ? found.records : [];
}

function anyRecords(report, table) { return report.analyses.some((analysis) => analysisRecords(analysis, table).length > 0); }

function analysisLayers(report) {
  const layers = report.analyses.flatMap((analysis) => [...analysis.tables.values()].flatMap((table) => table.records.map((record) => record.layer)));
  return unique(layers.filter(isNumber)).sort((a, b) => a - b);
}

function analysisDomains(report) {
  return unique(report.analyses.flatMap((analysis) => analysisRecords(analysis, "load").map((record) => record.domain)));
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
  choice("analysis-model", "Model", report.analyses.map((analysis, i) => [i, analysis.name]), "model");
  choice("analysis-domain", "Data set", domains.map((name) => [name, name]), "domain");
  for (const update of analysisUpdates) update();
  document.getElementById("content").append(bar);
}

function choiceChanged(report) {
  history.replaceState(null, "", addressOf(location.hash.slice(1).split(";")[0]));
  redrawAnalysis();
  for (const refresh of analysisRefreshes) refresh(report);
}

const analysisRefreshes = [];  // of what is no chart

function redrawAnalysis() { for (const id of analysisCharts) drawChart(id); }

function addressOf(target) {
  const parts = [`layer=${analysisView.layer}`, `model=${analysisView.model}`, `data=${encodeURIComponent(analysisView.domain)}`];
  return `#${[target, ...parts].join(";")}`;
}

function readAddress(report, layers, domains) {
  const wanted = Object.fromEntries(location.hash.slice(1).split(";").slice(1).map((part) => [part.slice(0, part.indexOf("=")), decoded(part.slice(part.indexOf("=") + 1))]));
  const layer = Number(wanted.layer);
  const model = Number(wanted.model);
  analysisView.layer = layers.includes(layer) ? layer : layers[Math.floor(layers.length / 2)];
  analysisView.model = Number.isInteger(model) && model >= 0 && model < report.analyses.length ? model : 0;
  analysisView.domain = domains.includes(wanted.data) ? wanted.data : domains[0];
}

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return ""; }
}

// Scrolls to the figure that the address names; the browser does not, since the name has more after it.
function showAddressed() {
  const target = document.getElementById(location.hash.slice(1).split(";")[0]);
  if (target && location.hash.includes(";")) target.scrollIntoView();
}

// A chart of the analysis page, with its link.
function addAnalysisChart(section, chart) {
  const figure = addChart(section, chart);
  if (figure === null) return null;
  analysisCharts.add(chart.id);
  const link = make("a", { class: "permalink", href: `#figure-${chart.id}`, "aria-label": `Link to the chart ${chart.title} as it is shown` }, "link");
  link.addEventListener("click", (event) => {
    event.preventDefault();
    history.replaceState(null, "", addressOf(`figure-${chart.id}`));
    if (navigator.clipboard) navigator.clipboard.writeText(location.href).then(() => { link.textContent = "copied"; }, () => {});
  });
  figure.querySelector(".chart-tools").prepend(link);
  return figure;
}

// ---- charts that many sections use ---------------------------------------------------------------

function seriesStyle(index, model) {
  const colors = kColors[isDark() ? "dark" : "light"];
  return { color: colors[1 + (index % (colors.length - 1))], dash: kDashes[(model + Math.floor(index / (colors.length - 1))) % kDashes.length],
    symbol: kSymbols[model % kSymbols.length] };
}

// Lines over the layers: one for each series(record) of each model. `low` and `high` name interval columns, `chance`
// a column of chance levels (dotted, in the line's colour).
function layerLines(report, { table, value, series, where = () => true, low, high, chance, title, percent = false, height = 380 }) {
  const names = unique(report.analyses.flatMap((analysis) => analysisRecords(analysis, table).filter(where).map(series)));
  const data = [];
  report.analyses.forEach((analysis, model) => {
    names.forEach((name, index) => {
      const records = analysisRecords(analysis, table).filter((record) => where(record) && series(record) === name && isNumber(record[value]))
        .sort((a, b) => a.layer - b.layer);
      if (records.length === 0) return;
      const style = seriesStyle(index, model);
      const label = report.analyses.length > 1 ? `${name ? `${name} · ` : ""}${analysis.name}` : name || analysis.name;
      const line = { type: "scatter", mode: "lines+markers", name: chartText(label), x: records.map((record) => record.layer), y: records.map((record) => record[value]),
        line: { color: style.color, dash: style.dash, width: 2.2 }, marker: { color: style.color, symbol: style.symbol, size: 7 },
        customdata: records.map((record) => hoverCounts(record)), legendgroup: `${model}-${index}`,
        hovertemplate: `layer %{x}: %{y:${percent ? ".2%" : ".4f"}}%{customdata}<extra>${chartText(label)}</extra>`,
        meta: { role: "layer-line", table, value, series: name, model: analysis.name } };
      if (low && high) {
        line.error_y = { type: "data", symmetric: false, color: style.color, thickness: 1.2, width: 3, array: records.map((record) => gap(record[high], record[value])),
          arrayminus: records.map((record) => gap(record[value], record[low])) };
      }
      data.push(line);
      if (chance && records.some((record) => isNumber(record[chance]))) {
        data.push({ type: "scatter", mode: "lines", x: line.x, y: records.map((record) => record[chance]), line: { color: style.color, dash: "dot", width: 1.3 }, opacity: 0.8,
          name: chartText(`${label}, chance`), showlegend: false, legendgroup: line.legendgroup, hovertemplate: `layer %{x}: chance %{y:${percent ? ".2%" : ".4f"}}<extra>${chartText(label)}</extra>`,
          meta: { role: "chance-line", table, value: chance, series: name, model: analysis.name } });
      }
    });
  });
  if (data.length === 0) return null;
  const layers = analysisLayers(report);
  return { data, height, layout: { hovermode: "closest", shapes: [layerCursor()],
    xaxis: { title: "layer", dtick: layers.length <= 20 && innerWidth >= kNarrow ? 1 : undefined, range: [layers[0] - 0.4, layers.at(-1) + 0.4], zeroline: false },
    yaxis: { title, tickformat: percent ? ".0%" : undefined, rangemode: percent ? "tozero" : undefined, zeroline: false } } };
}

function gap(upper, lower) { return isNumber(upper) && isNumber(lower) ? Math.max(0, upper - lower) : 0; }

function layerCursor() {
  return { type: "line", x0: analysisView.layer, x1: analysisView.layer, y0: 0, y1: 1, yref: "y domain", layer: "below", line: { color: themeColor("focus"), width: 1.5 } };
}

// What stands behind a figure: counts and intervals, for the hover text.
function hoverCounts(record) {
  const words = [];
  if (isNumber(record.mri_low) && isNumber(record.mri_high)) words.push(`95 %: ${formatNumber(record.mri_low)} to ${formatNumber(record.mri_high)}`);
  if (isNumber(record.chance)) words.push(`chance ${formatNumber(record.chance)}`);
  for (const [key, unit] of [["tokens", "tokens"], ["occurrences", "occurrences"], ["ids", "ids"], ["pairs", "pairs"]]) {
    if (isNumber(record[key])) words.push(`${formatNumber(record[key])} ${unit}`);
  }
  return words.length > 0 ? `<br>${words.join(", ")}` : "";
}

function tableSource(report, name) {
  const table = report.analyses.map((analysis) => analysis.tables.get(name)).find((found) => found);
  return table && table.source ? ` Source: ${table.source}` : "";
}

// A heat map of `rows` × `columns` with one cell for each.
function heatMap({ z, x, y, text, scale, zmin, zmax, bar, xTitle, yTitle, meta, height, width }) {
  return { height, data: [{ type: "heatmap", z, x, y, customdata: text, hovertemplate: "%{customdata}<extra></extra>", colorscale: scale, zmin, zmax,
    xgap: x.length > 70 ? 0 : 1, ygap: y.length > 70 ? 0 : 1, colorbar: { thickness: 14, outlinewidth: 0, tickfont: { color: themeColor("soft") }, ...bar }, meta }],
    layout: { margin: { t: 14, r: 0 },
      xaxis: { title: xTitle, showgrid: false, zeroline: false, type: "category", nticks: width < kNarrow ? 8 : 32, uirevision: meta.role },
      yaxis: { title: yTitle, showgrid: false, zeroline: false, type: "category", autorange: "reversed", nticks: 32, uirevision: meta.role } } };
}

function addAnalysisNotes(report) {
  const notes = report.analyses.flatMap((analysis) => (analysis.results.notes || []).map((note) => (report.analyses.length > 1 ? `${analysis.name}: ${note}` : note)));
  if (notes.length === 0) return;
  const section = addSection("analysis-notes", "What is not here", "Analyses that lacked something of what they need.");
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
