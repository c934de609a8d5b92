// Token ids and positions on the analysis page: agreement with a reference, vocabulary, id and position statistics.

function addAgreementSection(report) {
  if (!anyRecords(report, "saturation")) return;
  const section = addSection("agreement", "Against the reference model",
    "Router saturation: the share of a token's experts that both models choose, on the same tokens. 1 means that the routers agree on every token.");
  addAnalysisChart(section, { id: "agreement-by-layer", title: "Saturation of every layer", caption: `Dotted: chance, k/E.${tableSource(report, "saturation")}`,
    build: () => layerLines(report, { table: "saturation", value: "saturation", chance: "chance", series: (record) => `${record.data}, ${record.k === 1 ? "first choice" : `top ${record.k}`}`, title: "saturation", percent: true }) });
  addAnalysisChart(section, { id: "hit-rate", title: "Does a token id keep its expert?", caption: `Each id's favourite expert under the reference; the share of its tokens that still go there.${tableSource(report, "continual_vocabulary")}`,
    build: () => layerLines(report, { table: "continual_vocabulary", value: "hit_rate", chance: "chance", series: (record) => `${record.domain}, k = ${record.k}`, title: "hit rate", percent: true }) });
  addAnalysisChart(section, { id: "early-routing", title: "Chosen token ids, in the chosen layer", caption: `Likeness of an id's expert distribution under both models.${tableSource(report, "early_routing")}`,
    build: () => {
      const records = analysisRecords(chosenModel(report), "early_routing").filter((record) => record.layer === analysisView.layer && record.domain === analysisView.domain);
      if (records.length === 0) return null;
      const data = [["overlap", "circle"], ["cosine", "diamond"]].map(([figure, symbol], index) => ({ type: "scatter", mode: "markers", name: figure, x: records.map((record) => record[figure]), y: records.map((_, i) => -i),
        text: records.map((record) => tokenLabel(record)), hovertemplate: `%{text}: ${figure} %{x:.3f}<extra></extra>`, marker: { symbol, size: 11, color: seriesStyle(index, 0).color }, meta: { role: "early-routing", figure, layer: analysisView.layer } }));
      return { data, height: 120 + 28 * records.length, layout: { hovermode: "closest", margin: { l: 20 }, xaxis: { title: "likeness", range: [0, 1.02] },
        yaxis: { tickvals: records.map((_, i) => -i), ticktext: records.map((record) => tokenLabel(record, 16)), range: [-records.length + 0.4, 0.6], zeroline: false, automargin: true } } };
    } });
}

function addVocabularySection(report) {
  if (!anyRecords(report, "vocabulary_specialization")) return;
  const section = addSection("vocabulary", "Vocabulary specialization",
    "For every token id, the largest share of its tokens that one expert receives; the mean over ids. Singletons count fully where the least count is 1, as in the OLMoE paper's figure.");
  const records = report.analyses.flatMap((analysis) => analysisRecords(analysis, "vocabulary_specialization"));
  const counts = unique(records.map((record) => record.minimum_count)).sort((a, b) => a - b);
  const ks = unique(records.map((record) => record.k)).sort((a, b) => a - b);
  const view = { count: counts[0], k: ks[0] };
  const pick = (id, label, values, key, name) => (values.length < 2 ? null
    : makeSelect(id, label, values.map((value) => [value, name(value)]), (value) => { view[key] = value; drawChart("vocabulary-by-layer"); }));
  addAnalysisChart(section, { id: "vocabulary-by-layer", title: "Vocabulary specialization of every layer", caption: `Dotted: chance for ids seen as often.${tableSource(report, "vocabulary_specialization")}`,
    controls: [pick("vocabulary-k", "Experts counted", ks, "k", (k) => (k === 1 ? "first choice (k = 1)" : `top ${k}`)), pick("vocabulary-count", "Ids seen", counts, "count", (count) => `at least ${formatNumber(count)} ${count === 1 ? "time" : "times"}`)].filter((control) => control !== null),
    build: () => layerLines(report, { table: "vocabulary_specialization", value: "mean", chance: "chance", series: (record) => `${record.id_kind} id`, where: (record) => record.k === view.k && record.minimum_count === view.count, title: "mean over ids", percent: true }) });
  addAnalysisChart(section, { id: "expert-vocabulary", title: "Every expert of the chosen layer", caption: "Mean specialization of the ids whose favourite expert it is, by input id.",
    build: () => buildExpertVocabulary(report) });
  addTokenBrowser(report, section);
}

function buildExpertVocabulary(report) {
  const records = analysisRecords(chosenModel(report), "expert_vocabulary").filter((record) => record.layer === analysisView.layer && record.id_kind === "input");
  if (records.length === 0) return null;
  const sorted = [...records].sort((a, b) => (b.mean ?? -1) - (a.mean ?? -1));
  return { height: 330, data: [{ type: "bar", x: sorted.map((record) => String(record.expert)), y: sorted.map((record) => record.mean), customdata: sorted.map((record) => record.ids),
    hovertemplate: "expert %{x}: %{y:.1%} over %{customdata} ids<extra></extra>", marker: { color: seriesStyle(0, 0).color }, name: "input id", meta: { role: "expert-vocabulary", layer: analysisView.layer, model: chosenModel(report).name } }],
    layout: { hovermode: "closest", xaxis: { title: "expert, most specialized first", type: "category", uirevision: String(analysisView.layer) }, yaxis: { title: "mean over its ids", tickformat: ".0%", rangemode: "tozero" } } };
}

// The tokens of an expert, as text that can be read: spaces and control characters are made visible.
function addTokenBrowser(report, section) {
  if (!anyRecords(report, "expert_tokens")) return;
  const records = () => analysisRecords(chosenModel(report), "expert_tokens").filter((record) => record.layer === analysisView.layer);
  const kinds = unique(report.analyses.flatMap((analysis) => analysisRecords(analysis, "expert_tokens").map((record) => record.id_kind)));
  analysisView.kind = kinds[0];
  const host = make("div", { id: "token-browser-rows" });
  const expertHost = make("div");
  const show = () => {
    const experts = unique(records().map((record) => record.expert)).sort((a, b) => a - b);
    if (!experts.includes(analysisView.expert)) analysisView.expert = experts[0];
    expertHost.replaceChildren(makeSelect("token-expert", "Expert", experts.map((expert) => [expert, `expert ${expert}`]), (expert) => { analysisView.expert = expert; show(); }, experts.indexOf(analysisView.expert)));
    const rows = records().filter((record) => record.expert === analysisView.expert && record.id_kind === analysisView.kind).sort((a, b) => a.rank - b.rank);
    host.replaceChildren(rows.length === 0 ? make("p", { class: "note" }, "No id reached the least count with this expert as its favourite.") : make("ol", { class: "token-list" }, ...rows.map(tokenRow)));
  };
  const figure = make("figure", { id: "figure-token-browser" }, make("h3", {}, "What an expert reads"),
    make("div", { class: "controls" }, expertHost, kinds.length > 1 ? makeSelect("token-kind", "Ids", kinds.map((kind) => [kind, `${kind} ids`]), (kind) => { analysisView.kind = kind; show(); }) : null), host,
    make("figcaption", {}, `The token ids that go to it most faithfully: share of the id's tokens, and how often that was. Spaces and control characters are drawn.${tableSource(report, "expert_tokens")}`));
  section.append(figure);
  analysisRefreshes.push(show);
  analysisUpdates.push(show);
  show();
}

function tokenRow(record) {
  const bar = make("span", { class: "token-bar", "aria-hidden": "true", style: `width:${(100 * Math.min(1, record.share)).toFixed(1)}%` });
  return make("li", { title: `id ${record.id}: ${record.count} of ${record.occurrences} tokens` }, make("bdi", { class: "token" }, tokenText(record)),
    make("span", { class: "token-figures" }, `${(record.share * 100).toFixed(0)} % of ${formatNumber(record.occurrences)}`), bar);
}

function tokenText(record, longest = 60) { return record.text === null || record.text === "" ? `id ${record.id}` : visibleText(record.text, longest); }
function tokenLabel(record, longest = 40) { return chartText(tokenText(record, longest), longest + 24); }

function addIdSection(report) {
  if (!anyRecords(report, "token_specialization")) return;
  const section = addSection("ids", "Token ids and positions",
    "How uneven the experts' shares are for one token id, and for one position: the standard deviation across experts, averaged. Routing that depends on the id and not on the context shows a large one for ids and a small one for positions.");
  addAnalysisChart(section, { id: "id-std", title: "Ids against positions, every layer", caption: `For the chosen data set. Dotted: what uniform random routing gives at the same counts.${tableSource(report, "token_specialization")}`,
    build: () => buildIdStd(report) });
  const pair = make("div", { class: "pair" });
  section.append(pair);
  addAnalysisChart(pair, { id: "token-ids", title: "Every token id of the chosen layer", caption: "Each dot is a token id of the chosen data set.", build: () => buildTokenIds(report) });
  addAnalysisChart(pair, { id: "positions", title: "Every position of the chosen layer", caption: "Standard deviation across experts at each position.", build: () => buildPositions(report) });
}

function buildIdStd(report) {
  const at = (record) => record.domain === analysisView.domain;
  const tokens = layerLines(report, { table: "token_specialization", value: "std", chance: "baseline_std", series: () => "token id", where: at, title: "standard deviation of the shares" });
  const groups = unique(report.analyses.flatMap((analysis) => analysisRecords(analysis, "position_specialization").map((record) => record.group)));
  const positions = layerLines(report, { table: "position_specialization", value: "std", chance: "baseline_std", series: (record) => `positions, ${plain(record.group)}`, where: at, title: "" });
  if (tokens === null) return null;
  if (positions !== null) {
    for (const trace of positions.data) {
      const style = seriesStyle(1 + groups.indexOf(groups.find((group) => trace.meta.series.endsWith(plain(group)))), 0);
      trace.line.color = style.color;
      if (trace.marker) trace.marker.color = style.color;
      trace.legendgroup = `p${trace.legendgroup}`;
    }
    tokens.data.push(...positions.data);
  }
  tokens.layout.yaxis.rangemode = "tozero";
  return tokens;
}

function buildTokenIds(report) {
  const records = analysisRecords(chosenModel(report), "token_id_specialization").filter((record) => record.layer === analysisView.layer && record.domain === analysisView.domain);
  if (records.length === 0) return null;
  const style = seriesStyle(0, 0);
  const sorted = [...records].sort((a, b) => a.occurrences - b.occurrences);
  return { height: 380, data: [{ type: "scatter", mode: "markers", name: "token id", x: records.map((record) => record.occurrences), y: records.map((record) => record.std),
    text: records.map((record) => `${tokenLabel(record)}<br>${formatNumber(record.occurrences)} tokens, expert ${record.expert}: ${(record.max_share * 100).toFixed(1)} %`), hovertemplate: "%{text}<br>std %{y:.4f}<extra></extra>",
    marker: { color: style.color, size: 6, opacity: 0.65 }, meta: { role: "token-ids", layer: analysisView.layer, domain: analysisView.domain } },
  { type: "scatter", mode: "lines", name: "uniform routing", x: sorted.map((record) => record.occurrences), y: sorted.map((record) => record.baseline_std), line: { color: themeColor("soft"), dash: "dot", width: 1.6 }, hoverinfo: "skip", meta: { role: "token-ids-baseline" } }],
    layout: { hovermode: "closest", xaxis: { title: "occurrences", type: "log" }, yaxis: { title: "standard deviation of the shares", rangemode: "tozero" } } };
}

function buildPositions(report) {
  const records = analysisRecords(chosenModel(report), "position_id_specialization").filter((record) => record.layer === analysisView.layer && record.domain === analysisView.domain);
  if (records.length === 0) return null;
  const groups = unique(records.map((record) => record.group));
  const data = groups.map((group, index) => {
    const rows = records.filter((record) => record.group === group).sort((a, b) => a.position - b.position);
    const style = seriesStyle(index + 1, 0);
    return { type: "scatter", mode: "lines+markers", name: chartText(plain(group)), x: rows.map((record) => record.position), y: rows.map((record) => record.std), line: { color: style.color, width: 1.6 }, marker: { color: style.color, size: 5 },
      hovertemplate: "position %{x}: std %{y:.4f}<extra></extra>", meta: { role: "positions", group, layer: analysisView.layer, domain: analysisView.domain } };
  });
  return { data, height: 380, layout: { hovermode: "closest", xaxis: { title: "position", rangemode: "tozero" }, yaxis: { title: "standard deviation of the shares", rangemode: "tozero" } } };
}
