// Token ids and positions on the analysis page: agreement with a reference, vocabulary, id and position statistics.

// A select that chooses among the values of a column and draws one chart again; null where there is but one.
function columnSelect(report, { table, column, id, label, view, chart, name }) {
  const values = unique(report.analyses.flatMap((analysis) => analysisRecords(analysis, table).map((record) => record[column]))).sort((a, b) => a - b);
  view[column] = values[0];
  return values.length < 2 ? null : makeSelect(id, label, values.map((value) => [value, name(value)]), (value) => { view[column] = value; drawChart(chart); });
}

function timesSeen(count) { return `at least ${formatNumber(count)} ${count === 1 ? "time" : "times"}`; }
function expertsCounted(k) { return k === 1 ? "first choice" : `top ${k}`; }

// The steps of the checkpoints that an analysis compares with; more than one where it went over a run.
function stepsCompared(analysis, table) { return unique(analysisRecords(analysis, table).map((record) => record.from_step).filter(isNumber)).sort((a, b) => a - b); }
function goesOverRun(analysis, table) { return stepsCompared(analysis, table).length > 1; }

// A select of the checkpoint that a chart compares with, and the rows of its choice; an analysis with one reference keeps all of its rows.
function referenceChoice(report, { table, id, chart }) {
  const steps = unique(report.analyses.filter((analysis) => goesOverRun(analysis, table)).flatMap((analysis) => stepsCompared(analysis, table))).sort((a, b) => a - b);
  const view = { step: steps[0] };
  const control = steps.length === 0 ? null : makeSelect(id, "Checkpoint", steps.map((step) => [step, `step ${step}`]), (value) => { view.step = value; drawChart(chart); });
  return { controls: control ? [control] : null, records: (analysis) => analysisRecords(analysis, table).filter((record) => !goesOverRun(analysis, table) || record.from_step === view.step) };
}

function addAgreementSection(report) {
  const intro = "What of the reference's routing the model keeps, on the same tokens. Router saturation is the share of a token's experts that both choose: 1 means that the routers agree on every token.";
  addAnalysisSection("agreement", "Against the reference model", intro, (section) => {
    const kept = referenceChoice(report, { table: "saturation", id: "agreement-step", chart: "agreement-by-layer" });
    addAnalysisChart(report, section, { id: "agreement-by-layer", title: "Saturation of every layer", caption: `Dotted: two routers that choose by themselves, each at its own load.${tableSource(report, "saturation")}`, controls: kept.controls,
      build: () => layerLines(report, { table: "saturation", value: "saturation", chance: "load_chance", series: (record) => `${record.data}, ${expertsCounted(record.k)}`, records: kept.records, title: "saturation", percent: true }) });
    addOverRunCharts(report, section);
    const view = {};
    const count = columnSelect(report, { table: "continual_vocabulary", column: "minimum_count", id: "hit-rate-count", label: "Ids seen", view, chart: "hit-rate", name: timesSeen });
    addAnalysisChart(report, section, { id: "hit-rate", title: "Does a token id keep its expert?", caption: `Each id's favourite expert under the reference; the share of its tokens that go there now. Dotted: the same if the choice did not depend on the id, at the model's own load.${tableSource(report, "continual_vocabulary")}`,
      controls: count ? [count] : null, tables: ["continual_vocabulary"],
      build: () => layerLines(report, { table: "continual_vocabulary", value: "hit_rate", chance: "load_chance", series: (record) => `${record.domain}, ${expertsCounted(record.k)}`, where: (record) => record.minimum_count === view.minimum_count, title: "hit rate", percent: true }) });
    const early = referenceChoice(report, { table: "early_routing", id: "early-routing-step", chart: "early-routing" });
    addAnalysisChart(report, section, { id: "early-routing", title: "Single token ids, in the chosen layer", caption: `Likeness of an id's expert distribution under both models: the chosen ids, otherwise the most frequent of the data set.${tableSource(report, "early_routing")}`,
      controls: early.controls, tables: ["early_routing"], build: (width) => modelPanels(report, width, (analysis) => buildEarlyRouting(analysis, early.records(analysis), width), 1) });
  });
}

// How early routing is fixed: every checkpoint of a run against its last one.
function addOverRunCharts(report, section) {
  const over = (table) => report.analyses.some((analysis) => goesOverRun(analysis, table));
  if (over("saturation"))
    addAnalysisChart(report, section, { id: "saturation-by-step", title: "Saturation over the run, in the chosen layer", caption: "Every checkpoint against the run's last one. Dotted: two routers that choose by themselves, each at its own load.",
      build: () => stepLines(report, { table: "saturation", value: "saturation", chance: "load_chance", percent: true, title: "saturation", series: (record) => `${record.data}, ${expertsCounted(record.k)}` }) });
  if (over("early_routing"))
    addAnalysisChart(report, section, { id: "early-routing-by-step", title: "Single token ids over the run, in the chosen layer", caption: "Overlap of an id's expert distribution at every checkpoint with that at the last one, on the chosen data set.", tables: ["early_routing"],
      build: () => stepLines(report, { table: "early_routing", value: "overlap", title: "overlap", series: (record) => tokenLabel(record, 16), where: (record) => record.domain === analysisView.domain }) });
}

// Lines over the steps of the checkpoints, in the chosen layer; of the models whose analysis went over a run.
function stepLines(report, { title, percent = false, where = () => true, ...lines }) {
  const data = lineTraces(report, kOverSteps, { ...lines, percent, analyses: report.analyses.filter((analysis) => goesOverRun(analysis, lines.table)),
    where: (record) => record.layer === analysisView.layer && where(record), meta: { layer: analysisView.layer } });
  if (data.length === 0) return null;
  return { data, height: 380, layout: { hovermode: "closest", xaxis: { title: "step of the checkpoint", tickformat: "d", zeroline: false }, yaxis: { title, tickformat: percent ? ".0%" : undefined, rangemode: "tozero", zeroline: false } } };
}

function buildEarlyRouting(analysis, rows, width) {
  const records = rows.filter((record) => record.layer === analysisView.layer && record.domain === analysisView.domain);
  if (records.length === 0) return null;
  const y = records.map((_, i) => -i);
  const data = [["overlap", "circle"], ["cosine", "diamond"]].map(([figure, symbol], index) => ({ type: "scatter", mode: "markers", name: figure, x: records.map((record) => record[figure]), y, records,
    customdata: records.map((record) => `${tokenLabel(record)}: ${figure} ${formatNumber(record[figure])}${hoverCounts(analysis, "early_routing", record, { value: figure, chance: figure === "overlap" ? "load_overlap" : `chance_${figure}` })}`
      + `<br>favourite expert ${record.expert}: ${formatPercent(record.share_from)} before, ${formatPercent(record.share_to)} now`),
    hovertemplate: "%{customdata}<extra></extra>", marker: { symbol, size: 11, color: seriesStyle(index, 0).color }, meta: { role: "early-routing", figure, layer: analysisView.layer, domain: analysisView.domain, model: analysis.name } }));
  return { data, height: 120 + 28 * records.length, layout: { hovermode: "closest", margin: { l: 20 }, xaxis: { title: "likeness", range: [-0.02, 1.02], zeroline: false },
    yaxis: { tickvals: y, ticktext: records.map((record) => (width < kNarrow ? chartText(tokenText(record), 14) : tokenLabel(record, 16))), range: [-records.length + 0.4, 0.6], zeroline: false, automargin: true } } };
}

function addVocabularySection(report) {
  const intro = "For every token id, the largest share of its tokens that one expert receives; the mean over ids. Singletons count fully where the least count is 1, as in the OLMoE paper's figure.";
  addAnalysisSection("vocabulary", "Vocabulary specialization", intro, (section) => {
    const view = {};
    const of = { table: "vocabulary_specialization", view, chart: "vocabulary-by-layer" };
    const controls = [columnSelect(report, { ...of, column: "k", id: "vocabulary-k", label: "Experts counted", name: expertsCounted }),
      columnSelect(report, { ...of, column: "minimum_count", id: "vocabulary-count", label: "Ids seen", name: timesSeen })].filter((control) => control !== null);
    addAnalysisChart(report, section, { id: "vocabulary-by-layer", title: "Vocabulary specialization of every layer", caption: `Dotted: ids seen as often, of a router whose first choice does not depend on the id, at the layer's own load; where several experts are counted, of uniform random routing.${tableSource(report, "vocabulary_specialization")}`,
      controls: controls.length > 0 ? controls : null, tables: ["vocabulary_specialization"],
      build: () => layerLines(report, { table: "vocabulary_specialization", value: "mean", chance: view.k === 1 ? "load_chance" : "chance", series: (record) => `${record.id_kind} id`, where: (record) => record.k === view.k && record.minimum_count === view.minimum_count, title: "mean over ids", percent: true }) });
    addAnalysisChart(report, section, { id: "expert-vocabulary", title: "Every expert of the chosen layer", caption: "Mean specialization of the ids whose favourite expert it is, by input id. An expert that is no id's favourite has no bar.",
      tables: ["expert_vocabulary"], where: (record) => record.id_kind === "input", build: (width) => modelPanels(report, width, buildExpertVocabulary) });
    addTokenBrowser(report, section);
  });
}

function buildExpertVocabulary(analysis) {
  const records = analysisRecords(analysis, "expert_vocabulary").filter((record) => record.layer === analysisView.layer && record.id_kind === "input" && isNumber(record.mean)).sort((a, b) => b.mean - a.mean);
  if (records.length === 0) return null;
  return { height: 330, data: [{ type: "bar", x: records.map((record) => String(record.expert)), y: records.map((record) => record.mean), records, error_y: intervalBars(records, "mean", themeColor("ink")),
    customdata: records.map((record) => hoverCounts(analysis, "expert_vocabulary", record, { value: "mean" })), hovertemplate: "expert %{x}: %{y:.1%}%{customdata}<extra></extra>",
    marker: { color: seriesStyle(0, 0).color }, name: "input id", meta: { role: "expert-vocabulary", layer: analysisView.layer, model: analysis.name } }],
    layout: { hovermode: "closest", xaxis: { title: "expert, most specialized first", type: "category", uirevision: String(analysisView.layer) }, yaxis: { title: "mean over its ids", tickformat: ".0%", rangemode: "tozero" } } };
}

// The tokens of an expert, as text that can be read: spaces and control characters are made visible. A list for each model.
function addTokenBrowser(report, section) {
  if (!anyRecords(report, "expert_tokens")) return;
  const kinds = unique(report.analyses.flatMap((analysis) => analysisRecords(analysis, "expert_tokens").map((record) => record.id_kind)));
  analysisView.kind = kinds[0];
  const host = make("div", { id: "token-browser-rows", class: "token-models" });
  const show = () => host.replaceChildren(...modelsShown(report).map((analysis, i) => tokenList(report, analysis, i, show)));
  const chart = { id: "token-browser", title: "What an expert reads" };
  const tools = make("div", { class: "chart-tools" }, permalink(chart.id, chart.title),
    make("button", { type: "button", class: "tool", "aria-label": `Figures of ${chart.title}`, onclick: () => downloadText(tokenCsv(report), "evenkeel-token-browser.csv") }, "CSV"));
  section.append(make("figure", { id: "figure-token-browser" }, make("div", { class: "chart-head" }, make("h3", {}, chart.title), tools),
    kinds.length > 1 ? make("div", { class: "controls" }, makeSelect("token-kind", "Ids", kinds.map((kind) => [kind, `${kind} ids`]), (kind) => { analysisView.kind = kind; show(); })) : null, host,
    make("figcaption", {}, `The token ids with the largest share of their tokens at it: the share, and of how many tokens; ★ where the expert is the id's favourite. Spaces and control characters are drawn.${tableSource(report, "expert_tokens")}`)));
  analysisRefreshes.push(show);
  analysisUpdates.push(show);
  show();
}

// Of one model in the chosen layer: its experts, which of them is chosen (kept in analysisView.experts), and what that one reads.
function tokensShown(analysis) {
  const records = analysisRecords(analysis, "expert_tokens").filter((record) => record.layer === analysisView.layer);
  const experts = unique(records.map((record) => record.expert)).sort((a, b) => a - b);
  const chosen = Math.max(0, experts.indexOf(analysisView.experts.get(analysis.name)));
  const rows = records.filter((record) => record.expert === experts[chosen] && record.id_kind === analysisView.kind).sort((a, b) => a.rank - b.rank);
  return { experts, chosen, rows };
}

function tokenCsv(report) {
  const rows = modelsShown(report).flatMap((analysis) => tokensShown(analysis).rows.map((record) => ({ model: analysis.name, ...record })));
  const columns = unique(rows.flatMap((row) => Object.keys(row)));
  return csvRows([columns, ...rows.map((row) => columns.map((column) => row[column]))]);
}

function tokenList(report, analysis, i, show) {
  const { experts, chosen, rows } = tokensShown(analysis);
  const id = i === 0 ? "token-expert" : `token-expert-${i + 1}`;
  const choose = makeSelect(id, report.analyses.length > 1 ? `Expert of ${analysis.name}` : "Expert", experts.map((expert) => [expert, `expert ${expert}`]),
    (expert) => { analysisView.experts.set(analysis.name, expert); show(); document.getElementById(id).focus(); }, chosen, 0);
  return make("div", {}, experts.length > 0 ? make("div", { class: "controls" }, choose) : null,
    rows.length === 0 ? make("p", { class: "note" }, `No id that reached the least count goes to ${experts.length > 0 ? "this expert" : `an expert of ${analysis.name}`}.`) : make("ol", { class: "token-list" }, ...rows.map(tokenRow)));
}

function tokenRow(record) {
  const bar = make("span", { class: "token-bar", "aria-hidden": "true", style: `width:${(100 * Math.min(1, record.share)).toFixed(1)}%` });
  return make("li", { title: `id ${record.id}: ${record.count} of ${record.occurrences} tokens${isNumber(record.chance) ? `; the favourite of a uniform router would have ${formatPercent(record.chance)}` : ""}` }, make("bdi", { class: "token" }, tokenText(record)),
    make("span", { class: "token-figures" }, `${record.favourite ? "★ " : ""}${(record.share * 100).toFixed(0)} % of ${formatNumber(record.occurrences)}`), bar);
}

function tokenText(record, longest = 60) { return record.text === null || record.text === "" ? `id ${record.id}` : visibleText(record.text, longest); }
function tokenLabel(record, longest = 40) { return chartText(tokenText(record, longest), longest + 24); }

function addIdSection(report) {
  const intro = "How uneven the experts' shares are for one token id, and for one position: the standard deviation across experts, averaged. Routing that depends on the id and not on the context shows a large one for ids and a small one for positions.";
  addAnalysisSection("ids", "Token ids and positions", intro, (section) => {
    addAnalysisChart(report, section, { id: "id-std", title: "Ids against positions, every layer", caption: `For the chosen data set. Dotted: the root mean square at the same counts if the experts did not depend on id or position, at the layer's own load.${tableSource(report, "token_specialization") || tableSource(report, "position_specialization")}`,
      tables: ["token_specialization", "position_specialization"], build: () => buildIdStd(report) });
    const pair = make("div", { class: "pair" });
    section.append(pair);
    addAnalysisChart(report, pair, { id: "token-ids", title: "Single token ids, in the chosen layer", caption: "Each dot is a token id: the chosen ids, otherwise the most frequent of the data set. Dotted: the root mean square at the same counts if the experts did not depend on the id, at the layer's own load.",
      tables: ["token_id_specialization"], build: (width) => modelPanels(report, width, buildTokenIds) });
    addAnalysisChart(report, pair, { id: "positions", title: "Single positions, in the chosen layer", caption: "Standard deviation across experts: the first position, some that are spaced over the sequence, and some that follow each other. Dotted: the root mean square at the same counts if the experts did not depend on the position, at the layer's own load.",
      tables: ["position_id_specialization"], build: (width) => modelPanels(report, width, buildPositions) });
  });
}

function buildIdStd(report) {
  const shared = { value: "std", chance: "load_std", where: (record) => record.domain === analysisView.domain, title: "standard deviation of the shares", meta: { domain: analysisView.domain } };
  const tokens = layerLines(report, { ...shared, table: "token_specialization", series: () => "token id" });
  for (const trace of tokens ? tokens.data : []) {
    trace.line.color = seriesStyle(0, 0).color;
    if (trace.marker) trace.marker.color = trace.line.color;
  }
  const groups = unique(report.analyses.flatMap((analysis) => analysisRecords(analysis, "position_specialization").map((record) => plain(record.group))));
  const positions = layerLines(report, { ...shared, table: "position_specialization", series: (record) => plain(record.group) });
  for (const trace of positions ? positions.data : []) {
    const { color } = seriesStyle(1 + groups.indexOf(trace.meta.series), 0);
    trace.line.color = color;
    if (trace.marker) trace.marker.color = color;
    trace.name = `positions, ${trace.name}`;
    trace.legendgroup = `p${trace.legendgroup}`;
  }
  const drawn = tokens || positions;
  if (!drawn) return null;
  return { ...drawn, data: [...(tokens ? tokens.data : []), ...(positions ? positions.data : [])], layout: { ...drawn.layout, yaxis: { ...drawn.layout.yaxis, rangemode: "tozero" } } };
}

// Rows of the chosen layer and data set.
function chosenRecords(analysis, table) {
  return analysisRecords(analysis, table).filter((record) => record.layer === analysisView.layer && record.domain === analysisView.domain);
}

function buildTokenIds(analysis) {
  const records = chosenRecords(analysis, "token_id_specialization").sort((a, b) => a.occurrences - b.occurrences);
  if (records.length === 0) return null;
  const shared = { type: "scatter", x: records.map((record) => record.occurrences), records };
  const about = { layer: analysisView.layer, domain: analysisView.domain, model: analysis.name };
  return { height: 380, data: [{ ...shared, mode: "markers", name: "token id", y: records.map((record) => record.std),
    customdata: records.map((record) => `${tokenLabel(record)}<br>expert ${record.expert}: ${formatPercent(record.max_share)}${hoverCounts(analysis, "token_id_specialization", record, { value: "std", chance: "load_std" })}`), hovertemplate: "%{customdata}<br>std %{y:.4f}<extra></extra>",
    marker: { color: seriesStyle(0, 0).color, size: 9, opacity: 0.8 }, meta: { role: "token-ids", ...about } },
  { ...shared, mode: "lines", name: "at the layer's load", y: records.map((record) => record.load_std), line: { color: themeColor("soft"), dash: "dot", width: 1.6 }, hoverinfo: "skip", meta: { role: "token-ids-baseline", ...about } }],
    layout: { hovermode: "closest", xaxis: { title: "occurrences", ...logAxis(records.map((record) => record.occurrences)) }, yaxis: { title: "standard deviation of the shares", rangemode: "tozero" } } };
}

// A logarithmic axis with ticks that can be read, whether it spans a part of a decade or several.
function logAxis(values) {
  const ticks = [];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const steps = high / low > 50 ? [1] : high / low > 8 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
  for (let decade = Math.floor(Math.log10(low)); decade <= Math.ceil(Math.log10(high)); decade += 1) ticks.push(...steps.map((step) => step * 10 ** decade));
  return { type: "log", tickvals: ticks, ticktext: ticks.map((tick) => formatNumber(Math.round(tick * 1e6) / 1e6)) };
}

function buildPositions(analysis) {
  const records = chosenRecords(analysis, "position_id_specialization");
  if (records.length === 0) return null;
  const data = unique(records.map((record) => record.group)).flatMap((group, index) => {
    const rows = records.filter((record) => record.group === group).sort((a, b) => a.position - b.position);
    const { color } = seriesStyle(index + 1, 0);
    const shared = { type: "scatter", x: rows.map((record) => record.position), legendgroup: group, records: rows };
    const about = { group, layer: analysisView.layer, domain: analysisView.domain, model: analysis.name };
    return [{ ...shared, mode: "lines+markers", name: chartText(plain(group)), y: rows.map((record) => record.std), line: { color, width: 1.6 }, marker: { color, size: 6, symbol: kSymbols[index % kSymbols.length] },
      customdata: rows.map((record) => `<br>expert ${record.expert}: ${formatPercent(record.max_share)}${hoverCounts(analysis, "position_id_specialization", record, { value: "std", chance: "load_std" })}`),
      hovertemplate: "position %{x}: std %{y:.4f}%{customdata}<extra></extra>", meta: { role: "positions", ...about } },
    { ...shared, mode: "lines", name: chartText(`${plain(group)}, chance`), showlegend: false, y: rows.map((record) => record.load_std), line: { color, dash: "dot", width: 1.3 }, hoverinfo: "skip", meta: { role: "positions-baseline", ...about } }];
  });
  return { data, height: 380, layout: { hovermode: "closest", xaxis: { title: "position", zeroline: false }, yaxis: { title: "standard deviation of the shares", rangemode: "tozero" } } };
}
