// Load of the experts, domains, locality, drops and recomputed balance losses of the analysis page.

const kLongestPairs = 12;  // lines of domain pairs that a chart can carry

function addExpertLoadSection(report) {
  if (!anyRecords(report, "load")) return;
  const section = addSection("expert-load", "Load of the experts",
    "MRI (maximum routing imbalance) is the share of tokens that the busiest expert of a layer receives, over the whole data set. Dotted: what uniform random routing would show on as many tokens.");
  addAnalysisChart(section, { id: "mri-by-layer", title: "Imbalance of every layer", caption: `Bars: 95 % intervals from the number of tokens.${tableSource(report, "load")}`,
    missing: "The counts do not tell the number of tokens, so there is no MRI; the largest share of the assignments stands in the table.",
    build: () => layerLines(report, { table: "load", value: "mri", series: (record) => record.domain, low: "mri_low", high: "mri_high", chance: "mri_chance", title: "MRI, share of tokens", percent: true }) });
  addAnalysisChart(section, { id: "entropy-by-layer", title: "Entropy of the load", caption: "1 is a uniform load, 0 a single expert.",
    build: () => layerLines(report, { table: "load", value: "entropy", series: (record) => record.domain, title: "entropy ÷ ln E", height: 320 }) });
}

function addDomainSection(report) {
  if (!anyRecords(report, "domain_specialization")) return;
  const section = addSection("domains", "Specialization by data set",
    "Which experts each data set goes to. 1× is what a router without preference gives every expert.");
  addAnalysisChart(section, { id: "domain-shares", title: "Every expert and every data set, in the chosen layer",
    caption: "Share of the data set's routing that the expert gets, as a multiple of the uniform share.", build: (width) => buildDomainShares(report, width) });
  addAnalysisChart(section, { id: "domain-bars", title: "Shares in the chosen layer", caption: "Dashed: the uniform share. Experts in the order of the chosen data set's shares.",
    build: (width) => buildDomainBars(report, width) });
  if (analysisDomains(report).length > 1) {
    const pair = make("div", { class: "pair" });
    section.append(pair);
    addAnalysisChart(pair, { id: "domain-similarity", title: "Likeness of the data sets, in the chosen layer", caption: `Pearson correlation of their loads.${tableSource(report, "domain_similarity")}`,
      build: (width) => buildSimilarity(report, width) });
    addAnalysisChart(pair, { id: "similarity-by-layer", title: "Likeness over the layers", caption: "One line for each pair of data sets.",
      build: () => {
        const pairs = unique(report.analyses.flatMap((analysis) => analysisRecords(analysis, "domain_similarity").map(pairName)));
        const shown = new Set(pairs.slice(0, kLongestPairs));
        return layerLines(report, { table: "domain_similarity", value: "correlation", series: pairName, where: (record) => shown.has(pairName(record)), title: "correlation" });
      } });
  }
}

function pairName(record) { return `${record.domain_a} – ${record.domain_b}`; }

// The records of the chosen layer and model, by data set.
function sharesAtLayer(report) {
  const records = analysisRecords(chosenModel(report), "domain_specialization").filter((record) => record.layer === analysisView.layer);
  const byDomain = new Map();
  for (const record of records) {
    if (!byDomain.has(record.domain)) byDomain.set(record.domain, []);
    byDomain.get(record.domain).push(record);
  }
  for (const list of byDomain.values()) list.sort((a, b) => a.expert - b.expert);
  return byDomain;
}

// Tokens where they are known, assignments otherwise.
function shareOf(record) {
  return isNumber(record.share_of_tokens) ? { share: record.share_of_tokens, uniform: record.chance_of_tokens, unit: "of the tokens" }
    : { share: record.share_of_assignments, uniform: record.chance_of_assignments, unit: "of the assignments" };
}

function buildDomainShares(report, width) {
  const byDomain = sharesAtLayer(report);
  if (byDomain.size === 0) return null;
  const domains = [...byDomain.keys()];
  const experts = [...byDomain.values()][0].map((record) => record.expert);
  const cell = (record) => { const { share, uniform } = shareOf(record); return uniform > 0 ? share / uniform : null; };
  const z = domains.map((name) => byDomain.get(name).map(cell));
  const text = domains.map((name) => byDomain.get(name).map((record) => {
    const { share, unit } = shareOf(record);
    return `${chartText(name)}, expert ${record.expert}<br>${(share * 100).toPrecision(4)} % ${unit}, ${formatNumber(cell(record))}× uniform`
      + (isNumber(record.top1_share) ? `<br>first choice of ${(record.top1_share * 100).toPrecision(4)} %` : "");
  }));
  const highest = Math.max(2, ...z.flat().filter(isNumber));
  return heatMap({ z, text, x: experts, y: domains.map((name) => chartText(name, width < kNarrow ? 12 : 24)), scale: loadScale(), zmin: 0, zmax: Math.min(highest, 8), width,
    bar: { ticksuffix: "×" }, xTitle: "expert", height: 130 + 34 * domains.length, meta: { role: "domain-shares", layer: analysisView.layer, model: chosenModel(report).name, domains } });
}

function buildDomainBars(report, width) {
  const byDomain = sharesAtLayer(report);
  if (byDomain.size === 0) return null;
  const domains = [...byDomain.keys()];
  const lead = byDomain.get(analysisView.domain) || byDomain.get(domains[0]);
  const order = [...lead].sort((a, b) => shareOf(b).share - shareOf(a).share).map((record) => record.expert);
  const shown = width < kNarrow ? order.slice(0, 16) : order.slice(0, 64);
  const data = domains.map((name, index) => {
    const of = new Map(byDomain.get(name).map((record) => [record.expert, record]));
    const style = seriesStyle(index, 0);
    return { type: "bar", name: chartText(name), x: shown.map(String), y: shown.map((expert) => (of.has(expert) ? shareOf(of.get(expert)).share : null)),
      marker: { color: style.color }, hovertemplate: `expert %{x}: %{y:.2%}<extra>${chartText(name)}</extra>`,
      meta: { role: "domain-bars", domain: name, layer: analysisView.layer, model: chosenModel(report).name } };
  });
  const { uniform, unit } = shareOf(lead[0]);
  const shapes = isNumber(uniform) ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: uniform, y1: uniform, line: { color: themeColor("soft"), width: 1.5, dash: "dash" } }] : [];
  return { data, height: 360, layout: { barmode: "group", bargap: 0.25, shapes, hovermode: "closest",
    xaxis: { title: shown.length < order.length ? `the ${shown.length} busiest experts` : "expert", type: "category", uirevision: `${analysisView.layer}` },
    yaxis: { title: `share ${unit}`, tickformat: ".0%", rangemode: "tozero" } } };
}

function buildSimilarity(report, width) {
  const records = analysisRecords(chosenModel(report), "domain_similarity").filter((record) => record.layer === analysisView.layer);
  if (records.length === 0) return null;
  const domains = unique(records.flatMap((record) => [record.domain_a, record.domain_b]));
  const of = new Map();
  for (const record of records) {
    of.set(JSON.stringify([record.domain_a, record.domain_b]), record);
    of.set(JSON.stringify([record.domain_b, record.domain_a]), record);
  }
  const at = (a, b) => of.get(JSON.stringify([a, b]));
  const z = domains.map((a) => domains.map((b) => (a === b ? 1 : (at(a, b) || {}).correlation ?? null)));
  const text = domains.map((a) => domains.map((b) => (a === b ? chartText(a)
    : `${chartText(a)} and ${chartText(b)}<br>correlation ${formatNumber((at(a, b) || {}).correlation)}, overlap ${formatNumber((at(a, b) || {}).overlap)}`)));
  const names = domains.map((name) => chartText(name, width < kNarrow ? 10 : 18));
  return heatMap({ z, text, x: names, y: names, scale: similarityScale(), zmin: -1, zmax: 1, height: 170 + 40 * domains.length, width,
    meta: { role: "domain-similarity", layer: analysisView.layer, model: chosenModel(report).name, domains } });
}

// Minus one to one: orange apart, the panel's colour unrelated, blue alike.
function similarityScale() {
  const [worse, none, better] = [changeScale()[2][1], changeScale()[1][1], changeScale()[0][1]];
  return [[0, worse], [0.5, none], [1, better]];
}

function addLocalitySection(report) {
  if (!anyRecords(report, "temporal_locality")) return;
  const section = addSection("locality", "Neighbouring tokens",
    "How often a token and the next one of the same document go to the same expert. Dotted: what independent choices would give.");
  const pair = make("div", { class: "pair" });
  section.append(pair);
  const chart = (id, value, chance, title) => addAnalysisChart(pair, { id, title, caption: tableSource(report, "temporal_locality").trim(),
    build: () => layerLines(report, { table: "temporal_locality", value, chance, series: (record) => record.domain, title: "share of neighbours", percent: true }) });
  chart("locality-first", "first_choice", "chance_first", "The same first choice");
  chart("locality-any", "any_choice", "chance_any", "Any expert shared");
}

function addDropsByPositionSection(report) {
  if (!report.analyses.some((analysis) => analysisRecords(analysis, "drop_by_position").some((record) => record.any_dropped > 0))) return;
  const section = addSection("analysis-drops", "Dropped tokens", "Assignments beyond an expert's capacity are dropped; later positions suffer where capacity is filled in order.");
  addAnalysisChart(section, { id: "drops-by-position", title: "Drops by position, in the chosen layer", caption: `Share of tokens with at least one slot dropped; dashed: with every slot dropped.${tableSource(report, "drop_by_position")}`,
    build: () => buildDropsByPosition(report) });
}

function buildDropsByPosition(report) {
  const records = analysisRecords(chosenModel(report), "drop_by_position").filter((record) => record.layer === analysisView.layer);
  const data = unique(records.map((record) => record.domain)).flatMap((name, index) => {
    const rows = records.filter((record) => record.domain === name);
    const style = seriesStyle(index, 0);
    return [["any_dropped", "solid"], ["all_dropped", "dash"]].map(([figure, dash]) => ({ type: "scatter", mode: "lines+markers", name: chartText(name), showlegend: figure === "any_dropped",
      legendgroup: name, x: rows.map((record) => (record.position_from + record.position_to - 1) / 2), y: rows.map((record) => record[figure]),
      customdata: rows.map((record) => `positions ${record.position_from} to ${record.position_to - 1}${hoverCounts(record)}`), hovertemplate: `%{customdata}<br>${plain(figure)} %{y:.2%}<extra>${chartText(name)}</extra>`,
      line: { color: style.color, dash, width: 2 }, marker: { color: style.color, size: 5 }, meta: { role: "drops", domain: name, figure, layer: analysisView.layer, model: chosenModel(report).name } }));
  });
  if (data.length === 0) return null;
  return { data, height: 380, layout: { hovermode: "closest", xaxis: { title: "position in the sequence", rangemode: "tozero" }, yaxis: { title: "share of tokens", tickformat: ".1%", rangemode: "tozero" } } };
}

function addRecomputedLossSection(report) {
  if (!anyRecords(report, "balance_losses")) return;
  const section = addSection("recomputed-losses", "Balance losses, layer by layer",
    "The same routing under the normalisation of each source, divided by its value at uniform routing: 1 is balanced.");
  addAnalysisChart(section, { id: "balance-losses", title: "Balance losses over the layers", caption: `For the chosen data set.${tableSource(report, "balance_losses")}`,
    build: () => {
      for (const analysis of report.analyses) for (const record of analysisRecords(analysis, "balance_losses")) record.relative = record.uniform > 0 ? record.value / record.uniform : null;
      return layerLines(report, { table: "balance_losses", value: "relative", series: (record) => record.loss, where: (record) => record.domain === analysisView.domain, title: "loss ÷ its uniform value" });
    } });
}
