// Pairs of experts on the analysis page: co-activation within a layer, flows between layers, clusters of meaning.

function addPairsSection(report) {
  const intro = "Given that a token goes to one expert, how often it also goes to another. All pairs follows the OLMoE paper's equation; adjacent ranks follows its released script, which counts neighbours in the order of the scores only.";
  const modes = unique(report.analyses.flatMap((analysis) => [...analysisRecords(analysis, "coactivation"), ...analysisRecords(analysis, "coactivation_change")].map((record) => record.mode)));
  if (!modes.includes(analysisView.mode)) analysisView.mode = modes[0];
  const pick = makeSelect("coactivation-mode", "Pairs", modes.map((mode) => [mode, plain(mode)]), (mode) => { analysisView.mode = mode; drawChart("coactivation"); drawChart("coactivation-change-pairs"); }, modes.indexOf(analysisView.mode));
  addAnalysisSection("coactivation", "Experts that work together", intro, (section) => {
    const none = "Each token goes to one expert, so there are no pairs.";
    addAnalysisChart(report, section, { id: "coactivation", title: "Co-activation in the chosen layer", caption: `Rows: given this expert; columns: the other one. Experts stand in the order of a clustering, so that groups are blocks.${tableSource(report, "coactivation")}`,
      tables: ["coactivation"], controls: modes.length > 1 ? [pick] : null, missing: anyTable(report, "coactivation") ? none : "", empty: none,
      build: (width) => modelPanels(report, width, buildCoactivation) });
    addAnalysisChart(report, section, { id: "coactivation-change", title: "Change of co-activation against the reference", caption: `Mean absolute change of P(b | a) over the pairs of a layer. Dotted: between two routers that choose uniformly at random, for as many tokens.${tableSource(report, "coactivation_change_by_layer")}`,
      build: () => layerLines(report, { table: "coactivation_change_by_layer", value: "mean_absolute_change", chance: "chance", series: (record) => plain(record.mode), title: "mean |change|" }) });
    addAnalysisChart(report, section, { id: "coactivation-change-pairs", title: "Which pairs changed, in the chosen layer", caption: "P(b | a) under the model minus that under the reference; rows: given this expert. The order of the experts is that of the co-activation.",
      tables: ["coactivation_change"], build: (width) => modelPanels(report, width, buildCoactivationChange) });
    addAnalysisChart(report, section, { id: "co-routing", title: "From this layer to the next", caption: `The largest flows between the first choices of the chosen layer and those of the next MoE layer; the last layer has no next one, and the flows into it are drawn.${tableSource(report, "co_routing")}`,
      tables: ["co_routing"], where: (record) => record.mode === "first_choice", build: (width) => modelPanels(report, width, buildFlows) });
  });
}

function anyTable(report, name) { return report.analyses.some((analysis) => analysis.tables.has(name)); }

// The pairs (a, b) of the chosen layer and mode: {probability, together, tokens}, from the counts of all pairs where the
// page has them, otherwise from the table's largest.
function pairFigures(analysis) {
  const at = (record) => record.layer === analysisView.layer;
  const of = new Map();
  const add = (a, b, together, tokens) => { if (tokens > 0) of.set(`${a},${b}`, { expert_a: a, expert_b: b, probability: together / tokens, together, tokens_a: tokens }); };
  const all = analysis.pairs.filter(at);
  const key = analysisView.mode === "adjacent_rank" ? "adjacent_rank" : "together";
  for (const record of all) {
    add(record.expert_a, record.expert_b, record[key], record.tokens_a);
    add(record.expert_b, record.expert_a, record[key], record.tokens_b);
  }
  if (all.length > 0) return of;
  for (const record of analysisRecords(analysis, "coactivation").filter((entry) => at(entry) && entry.mode === analysisView.mode)) {
    of.set(`${record.expert_a},${record.expert_b}`, { ...record, together: Math.round(record.probability * record.tokens_a) });
  }
  return of;
}

// Experts as a matrix shows them: in the order of the clustering; without one, those of the pairs by number.
function expertOrder(analysis, pairs) {
  const ordered = analysisRecords(analysis, "coactivation_order").filter((record) => record.layer === analysisView.layer && record.mode === analysisView.mode).sort((a, b) => a.position - b.position).map((record) => record.expert);
  return ordered.length > 0 ? ordered : unique([...pairs.keys()].flatMap((key) => key.split(",").map(Number))).sort((a, b) => a - b);
}

// A cell without a pair has the value `absent`: null where the pair is not known.
function pairMatrix(analysis, pairs, width, { value, text, absent, ...map }) {
  const experts = expertOrder(analysis, pairs);
  const cells = (of) => experts.map((a) => experts.map((b) => of(a, b, pairs.get(`${a},${b}`))));
  const size = Math.min(width < kNarrow ? Math.max(width, 300) : 640, 200 + 14 * experts.length);
  return heatMap({ z: cells((a, b, pair) => (a === b ? null : pair ? value(pair) : absent)), text: cells((a, b, pair) => (a === b ? `expert ${a}` : text(a, b, pair))), records: cells((a, b, pair) => pair),
    x: experts.map(String), y: experts.map(String), width, xTitle: "also goes to expert", yTitle: "a token of expert", height: size, ...map });
}

function buildCoactivation(analysis, width) {
  const pairs = pairFigures(analysis);
  if (pairs.size === 0) return null;
  const value = (pair) => pair.probability;
  const known = [...pairs.values()].map(value);
  return pairMatrix(analysis, pairs, width, { value, absent: analysis.pairs.length > 0 ? 0 : null, scale: loadScale(), zmin: 0, zmax: Math.max(0.05, ...known), bar: { tickformat: ".0%" },
    text: (a, b, pair) => (pair ? `P(${b} | ${a}) = ${(pair.probability * 100).toPrecision(3)} %<br>${formatNumber(pair.together)} of ${formatNumber(pair.tokens_a)} tokens of expert ${a}` : `P(${b} | ${a}): not among the table's largest`),
    meta: { role: "coactivation", layer: analysisView.layer, mode: analysisView.mode, model: analysis.name } });
}

// The changes (a, b) of the chosen layer and mode: {from, to, change, from_tokens, to_tokens}, from the counts of all pairs where the
// page has them, otherwise those of the table, the largest.
function changeFigures(analysis) {
  const at = (record) => record.layer === analysisView.layer;
  const key = analysisView.mode === "adjacent_rank" ? "adjacent_rank" : "together";
  const records = analysis.changes.filter(at).flatMap((record) => [["a", "b"], ["b", "a"]].filter(([a]) => record[`from_tokens_${a}`] > 0 && record[`to_tokens_${a}`] > 0).map(([a, b]) => {
    const [from, to] = ["from", "to"].map((side) => record[`${side}_${key}`] / record[`${side}_tokens_${a}`]);
    return { layer: record.layer, mode: analysisView.mode, expert_a: record[`expert_${a}`], expert_b: record[`expert_${b}`], from, to, change: to - from, from_tokens: record[`from_tokens_${a}`], to_tokens: record[`to_tokens_${a}`] };
  }));
  return records.length > 0 ? records : analysisRecords(analysis, "coactivation_change").filter((record) => at(record) && record.mode === analysisView.mode);
}

function buildCoactivationChange(analysis, width) {
  const records = changeFigures(analysis);
  if (records.length === 0) return null;
  const pairs = new Map(records.map((record) => [`${record.expert_a},${record.expert_b}`, record]));
  const sizes = records.map((record) => Math.abs(record.change));
  const end = Math.max(0.01, ...sizes);
  const summary = analysisRecords(analysis, "coactivation_change_by_layer").find((record) => record.layer === analysisView.layer && record.mode === analysisView.mode);
  const cut = summary && summary.pairs > records.length ? `Drawn are the ${formatNumber(records.length)} pairs that changed most of ${formatNumber(summary.pairs)}; those left blank changed by at most ${formatNumber(Math.min(...sizes))}.` : "";
  const tokens = (pair, a) => (isNumber(pair.to_tokens) ? `, over ${formatNumber(pair.from_tokens)} and ${formatNumber(pair.to_tokens)} tokens of expert ${a}` : "");
  const drawn = pairMatrix(analysis, pairs, width, { value: (pair) => pair.change, absent: null, scale: similarityScale(), zmin: -end, zmax: end, bar: { tickformat: end < 0.04 ? "+.1%" : "+.0%" },
    text: (a, b, pair) => (pair ? `P(${b} | ${a}): ${formatPercent(pair.from)} before, ${formatPercent(pair.to)} now<br>change ${formatPercent(pair.change)}${tokens(pair, a)}` : `P(${b} | ${a}): ${cut === "" ? `no tokens of expert ${a} to compare` : "not among the pairs that changed most"}`),
    meta: { role: "coactivation-change-pairs", layer: analysisView.layer, mode: analysisView.mode, model: analysis.name } });
  return { ...drawn, note: cut };
}

function formatPercent(share) { return isNumber(share) ? `${(share * 100).toFixed(2).replace("-", "−")} %` : "–"; }

// The largest flows of the chosen layer, and from each of their experts what the table leaves out, so that a left bar is
// all of its tokens.
function buildFlows(analysis) {
  const records = analysisRecords(analysis, "co_routing").filter((record) => record.mode === "first_choice");
  const from = unique(records.map((record) => record.layer_from)).sort((a, b) => a - b);
  if (from.length === 0) return null;
  const layer = from.includes(analysisView.layer) ? analysisView.layer : from.at(-1);
  const flows = records.filter((record) => record.layer_from === layer).sort((a, b) => b.count - a.count);
  const drawn = (key, expert) => sum(flows.filter((flow) => flow[key] === expert).map((flow) => flow.count));
  const left = unique(flows.map((flow) => flow.expert_from)).map((expert) => {
    const { count, probability } = flows.find((flow) => flow.expert_from === expert);
    return { expert, total: Math.round(count / probability) };
  });
  const right = unique(flows.map((flow) => flow.expert_to)).map((expert) => ({ expert, share: flows.find((flow) => flow.expert_to === expert).chance, drawn: drawn("expert_to", expert) }));
  const others = left.map(({ expert, total }) => ({ expert_from: expert, expert_to: null, count: total - drawn("expert_from", expert), probability: 1 - drawn("expert_from", expert) / total })).filter((flow) => flow.count > 0);
  const [next, soft] = [flows[0].layer_to, themeColor("soft")];
  const label = (text, x, xanchor) => ({ text, x, y: 1.02, xref: "paper", yref: "paper", yanchor: "bottom", showarrow: false, xanchor, font: { color: soft } });
  const part = sum(flows.map((flow) => flow.count)) / sum(left.map(({ total }) => total));
  return { height: Math.max(460, 80 + 30 * Math.max(left.length, right.length + 1)), note: `Drawn are ${flows.length} flows with ${formatPercent(part)} of the tokens of their experts${others.length > 0 ? "; grey: the rest of these tokens" : ""}. Experts without such a flow are left out.`,
    data: [{ type: "sankey", arrangement: "snap", textfont: { color: themeColor("ink"), size: 13 }, ...flowDiagram(left, right, flows, others, next), meta: { role: "co-routing", layer, to: next, model: analysis.name } }],
    layout: { margin: { l: 10, r: 10, t: 30, b: 10 }, annotations: [label(`layer ${layer}`, 0, "left"), label(`layer ${next}`, 1, "right")] } };
}

// #rrggbb of a hue from 0 to 1, of one lightness.
function hueColor(hue) {
  const part = (offset) => 0.5 + 0.3 * Math.cos(2 * Math.PI * (hue - offset));
  return `#${[0, 1 / 3, 2 / 3].map((offset) => Math.round(255 * part(offset)).toString(16).padStart(2, "0")).join("")}`;
}

// Nodes and links as Plotly takes them: experts of the one layer, of the next, and at the end what others get.
function flowDiagram(left, right, flows, others, next) {
  const soft = themeColor("soft");
  const colors = left.map((_, i) => (left.length <= 7 ? kColors[isDark() ? "dark" : "light"][1 + i] : hueColor(i / left.length)));
  const source = (flow) => left.findIndex(({ expert }) => expert === flow.expert_from);
  const target = (flow) => left.length + (flow.expert_to === null ? right.length : right.findIndex(({ expert }) => expert === flow.expert_to));
  const records = [...flows, ...others];
  const rest = others.length > 0 ? [{ label: "others", color: soft, text: `${formatNumber(sum(others.map((flow) => flow.count)))} tokens in smaller flows` }] : [];
  const nodes = [...left.map(({ expert, total }, i) => ({ label: String(expert), color: colors[i], text: `expert ${expert}: ${formatNumber(total)} tokens` })),
    ...right.map(({ expert, share, drawn }) => ({ label: String(expert), color: soft, text: `expert ${expert}: ${formatPercent(share)} of all tokens in layer ${next}<br>${formatNumber(drawn)} tokens in the flows drawn` })), ...rest];
  const describe = (flow) => `expert ${flow.expert_from} to ${flow.expert_to ?? "others"}: ${formatNumber(flow.count)} tokens<br>${formatPercent(flow.probability)} of its ${formatNumber(left[source(flow)].total)}`
    + (isNumber(flow.chance) ? ` (chance ${formatPercent(flow.chance)})` : "");
  const hovertemplate = "%{customdata}<extra></extra>";
  return { records, node: { pad: 16, thickness: 14, line: { width: 0 }, label: nodes.map((node) => node.label), color: nodes.map((node) => node.color), customdata: nodes.map((node) => node.text), hovertemplate },
    link: { source: records.map(source), target: records.map(target), value: records.map((flow) => flow.count), color: records.map((flow) => (flow.expert_to === null ? `${soft}26` : `${colors[source(flow)]}66`)),
      customdata: records.map(describe), hovertemplate } };
}

function addClusterSection(report) {
  const intro = "Whether the tokens that an expert reads lie near each other in the model's embedding: the mean cosine of its top tokens, against token sets drawn at random.";
  addAnalysisSection("clusters", "Clusters of meaning", intro, (section) => {
    addAnalysisChart(report, section, { id: "coherence-by-layer", title: "Coherence of every layer", caption: `Dotted: the permutation baseline.${tableSource(report, "semantic_coherence")}`,
      build: () => layerLines(report, { table: "semantic_coherence", value: "coherence", chance: "baseline", series: () => "", title: "mean cosine" }) });
    addAnalysisChart(report, section, { id: "coherence", title: "Every expert of the chosen layer", caption: "Bars: two standard deviations of the baseline around its mean.",
      tables: ["semantic_clusters"], where: (record) => isNumber(record.coherence), build: (width) => modelPanels(report, width, buildCoherence) });
  });
}

function buildCoherence(analysis) {
  const records = analysisRecords(analysis, "semantic_clusters").filter((record) => record.layer === analysisView.layer && isNumber(record.coherence)).sort((a, b) => b.coherence - a.coherence);
  if (records.length === 0) return null;
  const meta = { layer: analysisView.layer, model: analysis.name };
  const shared = { type: "scatter", mode: "markers", x: records.map((record) => String(record.expert)), customdata: records.map((record) => hoverCounts(analysis, "semantic_clusters", record, { chance: "baseline" })), records };
  return { height: 340, data: [
    { ...shared, name: "its tokens", y: records.map((record) => record.coherence), hovertemplate: "expert %{x}: %{y:.3f}%{customdata}<extra></extra>", marker: { color: seriesStyle(0, 0).color, size: 9 }, meta: { role: "coherence", ...meta } },
    { ...shared, name: "random sets", y: records.map((record) => record.baseline), error_y: { type: "data", array: records.map((record) => 2 * record.baseline_deviation), color: themeColor("soft"), thickness: 1.3, width: 3 },
      hovertemplate: "expert %{x}: random %{y:.3f}%{customdata}<extra></extra>", marker: { color: themeColor("soft"), size: 5 }, meta: { role: "coherence-baseline", ...meta } }],
    layout: { hovermode: "closest", xaxis: { title: "expert, most coherent first", type: "category", uirevision: String(analysisView.layer) }, yaxis: { title: "mean cosine" } } };
}
