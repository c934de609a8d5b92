// Pairs of experts on the analysis page: co-activation within a layer, flows between layers, clusters of meaning.

const kMostFlows = 60;

function addPairsSection(report) {
  if (!anyRecords(report, "coactivation") && !anyRecords(report, "co_routing")) return;
  const section = addSection("coactivation", "Experts that work together",
    "Given that a token goes to one expert, how often it also goes to another. All pairs follows the OLMoE paper's equation; adjacent ranks follows its released script, which counts neighbours in the order of the scores only.");
  const modes = unique(report.analyses.flatMap((analysis) => analysisRecords(analysis, "coactivation").map((record) => record.mode)));
  if (!modes.includes(analysisView.mode)) analysisView.mode = modes[0];
  addAnalysisChart(section, { id: "coactivation", title: "Co-activation in the chosen layer", caption: `Rows: given this expert; columns: the other one. Experts stand in the order of a clustering, so that groups are blocks.${tableSource(report, "coactivation")}`,
    controls: modes.length > 1 ? [makeSelect("coactivation-mode", "Pairs", modes.map((mode) => [mode, plain(mode)]), (mode) => { analysisView.mode = mode; drawChart("coactivation"); }, modes.indexOf(analysisView.mode))] : null,
    missing: "Each token goes to one expert, so there are no pairs.", build: (width) => buildCoactivation(report, width) });
  addAnalysisChart(section, { id: "coactivation-change", title: "Change of co-activation against the reference", caption: "Mean absolute change of P(b | a) over the pairs of a layer.",
    build: () => layerLines(report, { table: "coactivation_change_by_layer", value: "mean_absolute_change", series: (record) => plain(record.mode), title: "mean |change|" }) });
  addAnalysisChart(section, { id: "co-routing", title: "From this layer to the next", caption: `The largest flows between the first choices of the chosen layer and those of the next MoE layer.${tableSource(report, "co_routing")}`,
    build: () => buildFlows(report) });
}

// P(b | a) from the counts of all pairs where the page has them, otherwise from the table's largest.
function pairProbabilities(report) {
  const analysis = chosenModel(report);
  const at = (record) => record.layer === analysisView.layer;
  const of = new Map();
  const all = analysis.pairs.filter(at);
  if (all.length > 0) {
    const key = analysisView.mode === "adjacent_rank" ? "adjacent_rank" : "together";
    for (const record of all) {
      if (record.tokens_a > 0) of.set(`${record.expert_a},${record.expert_b}`, record[key] / record.tokens_a);
      if (record.tokens_b > 0) of.set(`${record.expert_b},${record.expert_a}`, record[key] / record.tokens_b);
    }
  } else {
    for (const record of analysisRecords(analysis, "coactivation").filter((entry) => at(entry) && entry.mode === analysisView.mode)) of.set(`${record.expert_a},${record.expert_b}`, record.probability);
  }
  return of;
}

function buildCoactivation(report, width) {
  const of = pairProbabilities(report);
  if (of.size === 0) return null;
  const ordered = analysisRecords(chosenModel(report), "coactivation_order").filter((record) => record.layer === analysisView.layer && record.mode === analysisView.mode).sort((a, b) => a.position - b.position).map((record) => record.expert);
  const experts = ordered.length > 0 ? ordered : unique([...of.keys()].map((key) => Number(key.split(",")[0]))).sort((a, b) => a - b);
  const z = experts.map((a) => experts.map((b) => (a === b ? null : of.get(`${a},${b}`) ?? 0)));
  const text = experts.map((a, i) => experts.map((b, j) => (a === b ? `expert ${a}` : `P(${b} | ${a}) = ${(z[i][j] * 100).toPrecision(3)} %`)));
  const size = Math.min(width < kNarrow ? width : 640, 200 + 14 * experts.length);
  return heatMap({ z, text, x: experts.map(String), y: experts.map(String), scale: loadScale(), zmin: 0, zmax: Math.max(0.05, ...z.flat().filter(isNumber)), bar: { tickformat: ".0%" }, width,
    xTitle: "also goes to expert", yTitle: "a token of expert", height: size, meta: { role: "coactivation", layer: analysisView.layer, mode: analysisView.mode, model: chosenModel(report).name } });
}

function buildFlows(report) {
  const records = analysisRecords(chosenModel(report), "co_routing").filter((record) => record.mode === "first_choice");
  const from = unique(records.map((record) => record.layer_from)).sort((a, b) => a - b);
  if (from.length === 0) return null;
  const layer = from.includes(analysisView.layer) ? analysisView.layer : from.at(-1);
  const flows = records.filter((record) => record.layer_from === layer).sort((a, b) => b.count - a.count).slice(0, kMostFlows);
  const left = unique(flows.map((flow) => flow.expert_from));
  const right = unique(flows.map((flow) => flow.expert_to));
  const colors = kColors[isDark() ? "dark" : "light"];
  const next = flows[0].layer_to;
  return { height: 460, data: [{ type: "sankey", arrangement: "snap", node: { pad: 8, thickness: 14, line: { width: 0 }, label: [...left, ...right].map(String), color: [...left.map((_, i) => colors[1 + (i % 7)]), ...right.map(() => themeColor("soft"))],
    hovertemplate: "expert %{label}: %{value:,} tokens<extra></extra>" },
  link: { source: flows.map((flow) => left.indexOf(flow.expert_from)), target: flows.map((flow) => left.length + right.indexOf(flow.expert_to)), value: flows.map((flow) => flow.count),
    color: flows.map((flow) => `${colors[1 + (left.indexOf(flow.expert_from) % 7)]}55`), customdata: flows.map((flow) => [flow.expert_from, flow.expert_to, flow.probability, flow.chance]),
    hovertemplate: "expert %{customdata[0]} to %{customdata[1]}: %{value:,} tokens<br>%{customdata[2]:.1%} of them (chance %{customdata[3]:.1%})<extra></extra>" },
  meta: { role: "co-routing", from: layer, to: next, model: chosenModel(report).name } }],
    layout: { margin: { l: 10, r: 10, t: 30, b: 10 }, annotations: [{ text: `layer ${layer}`, x: 0, y: 1.02, xref: "paper", yref: "paper", yanchor: "bottom", showarrow: false, xanchor: "left", font: { color: themeColor("soft") } },
      { text: `layer ${next}`, x: 1, y: 1.02, xref: "paper", yref: "paper", yanchor: "bottom", showarrow: false, xanchor: "right", font: { color: themeColor("soft") } }] } };
}

function addClusterSection(report) {
  if (!anyRecords(report, "semantic_clusters")) return;
  const section = addSection("clusters", "Clusters of meaning",
    "Whether the tokens that an expert reads lie near each other in the model's embedding: the mean cosine of its top tokens, against token sets drawn at random.");
  addAnalysisChart(section, { id: "coherence-by-layer", title: "Coherence of every layer", caption: `Dotted: the permutation baseline.${tableSource(report, "semantic_coherence")}`,
    build: () => layerLines(report, { table: "semantic_coherence", value: "coherence", chance: "baseline", series: () => "", title: "mean cosine" }) });
  addAnalysisChart(section, { id: "coherence", title: "Every expert of the chosen layer", caption: "Bars: two standard deviations of the baseline around its mean.", build: () => buildCoherence(report) });
}

function buildCoherence(report) {
  const records = analysisRecords(chosenModel(report), "semantic_clusters").filter((record) => record.layer === analysisView.layer && isNumber(record.coherence)).sort((a, b) => b.coherence - a.coherence);
  if (records.length === 0) return null;
  const x = records.map((record) => String(record.expert));
  return { height: 340, data: [
    { type: "scatter", mode: "markers", name: "its tokens", x, y: records.map((record) => record.coherence), customdata: records.map((record) => record.ids), hovertemplate: "expert %{x}: %{y:.3f} over %{customdata} ids<extra></extra>",
      marker: { color: seriesStyle(0, 0).color, size: 9 }, meta: { role: "coherence", layer: analysisView.layer, model: chosenModel(report).name } },
    { type: "scatter", mode: "markers", name: "random sets", x, y: records.map((record) => record.baseline), error_y: { type: "data", array: records.map((record) => 2 * record.baseline_deviation), color: themeColor("soft"), thickness: 1.3, width: 3 },
      hovertemplate: "expert %{x}: random %{y:.3f}<extra></extra>", marker: { color: themeColor("soft"), size: 5 }, meta: { role: "coherence-baseline", layer: analysisView.layer } }],
    layout: { hovermode: "closest", xaxis: { title: "expert, most coherent first", type: "category", uirevision: String(analysisView.layer) }, yaxis: { title: "mean cosine" } } };
}
