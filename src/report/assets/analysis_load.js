// Load of the experts, domains, locality, drops and recomputed balance losses of the analysis page.

const kMostPairs = 12;  // lines of pairs of data sets that a chart can carry

function addExpertLoadSection(report) {
  const intro = "MRI (maximum routing imbalance) is the share of tokens that the busiest expert of a layer receives, over the whole data set. Dotted: what uniform random routing would show on as many tokens.";
  addAnalysisSection("expert-load", "Load of the experts", intro, (section) => {
    addAnalysisChart(report, section, { id: "mri-by-layer", title: "Imbalance of every layer", caption: `${intervalWords(report, "load", "mri", "the spread between blocks of windows of the text") || "No intervals: counts do not say which tokens stood together."}${tableSource(report, "load")}`,
      missing: anyRecords(report, "load") ? "The counts do not tell the number of tokens, so there is no MRI; the largest share of the assignments stands in the table." : "",
      build: () => layerLines(report, { table: "load", value: "mri", series: (record) => record.domain, chance: "mri_chance", title: "MRI, share of tokens", percent: true }) });
    addAnalysisChart(report, section, { id: "entropy-by-layer", title: "Entropy of the load", caption: `${kEntropyEnds} Dotted: what uniform random routing would show on as many tokens. ${intervalWords(report, "load", "entropy", "a bootstrap over blocks of windows of the text")}`,
      build: () => layerLines(report, { table: "load", value: "entropy", series: (record) => record.domain, chance: "entropy_chance", title: "entropy ÷ ln E", height: 320 }) });
  });
}

// What the bars of a figure are; "" where it has none.
function intervalWords(report, table, value, how) {
  const known = report.analyses.flatMap((analysis) => analysisRecords(analysis, table)).some((record) => isNumber(record[`${value}_low`]));
  return known ? `Bars: 95 % intervals from ${how}.` : "";
}

function addDomainSection(report) {
  addAnalysisSection("domains", "Specialization by data set", "Which experts each data set goes to. 1× is what a router without preference gives every expert.", (section) => {
    addAnalysisChart(report, section, { id: "domain-shares", title: "Every expert and every data set, in the chosen layer", tables: ["domain_specialization"],
      caption: "Share of the data set's routing that the expert gets, as a multiple of the uniform share.", build: (width) => modelPanels(report, width, buildDomainShares) });
    addAnalysisChart(report, section, { id: "domain-bars", title: "Shares in the chosen layer", tables: ["domain_specialization"], caption: "Dashed: the uniform share. Experts in the order of the chosen data set's shares.",
      build: (width) => modelPanels(report, width, buildDomainBars) });
    const pair = make("div", { class: "pair" });
    section.append(pair);
    addAnalysisChart(report, pair, { id: "domain-similarity", title: "Likeness of the data sets, in the chosen layer", tables: ["domain_similarity"], caption: `Pearson correlation of their loads.${tableSource(report, "domain_similarity")}`,
      build: (width) => modelPanels(report, width, buildSimilarity) });
    addAnalysisChart(report, pair, { id: "similarity-by-layer", title: "Likeness over the layers", tables: ["domain_similarity"], where: (record) => isNumber(record.correlation), caption: `Correlation 0: unrelated loads. ${intervalWords(report, "domain_similarity", "correlation", "a bootstrap over blocks of windows of the text")}`,
      build: () => buildSimilarityLines(report) });
  });
}

// A line for each pair of data sets; where they are too many, for the pairs of the chosen one.
function buildSimilarityLines(report) {
  const pairs = unique(report.analyses.flatMap((analysis) => analysisRecords(analysis, "domain_similarity").map(pairName)));
  const all = pairs.length <= kMostPairs;
  const has = (record) => all || record.domain_a === analysisView.domain || record.domain_b === analysisView.domain;
  const drawn = layerLines(report, { table: "domain_similarity", value: "correlation", series: pairName, where: has, title: "correlation" });
  return drawn && { ...drawn, note: `${drawn.note} ${all ? "One line for each pair of data sets." : `Of ${pairs.length} pairs of data sets those of the chosen one; the table has all.`}`.trim() };
}

function pairName(record) { return `${record.domain_a} – ${record.domain_b}`; }

// The records of the chosen layer, by data set.
function sharesAtLayer(analysis) {
  const records = analysisRecords(analysis, "domain_specialization").filter((record) => record.layer === analysisView.layer);
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

// "12.5 % of the tokens (1,250 of 10,000)", with the interval where the table has one.
function shareText(analysis, record) {
  const { share, unit } = shareOf(record);
  const tokens = isNumber(record.share_of_tokens) ? domainTokens(analysis, record.layer, record.domain) : null;
  const [low, high] = isNumber(record.share_of_tokens) ? [record.share_of_tokens_low, record.share_of_tokens_high] : [record.share_of_assignments_low, record.share_of_assignments_high];
  return `${(share * 100).toPrecision(4)} % ${unit}${tokens === null ? tokensBehind(analysis, "domain_specialization", record).replace(/^(.+)$/, " ($1)") : ` (${formatNumber(Math.round(share * tokens))} of ${formatNumber(tokens)})`}`
    + (isNumber(low) && isNumber(high) ? `<br>95 %: ${formatPercent(low)} to ${formatPercent(high)}` : "");
}

function buildDomainShares(analysis, width) {
  const byDomain = sharesAtLayer(analysis);
  if (byDomain.size === 0) return null;
  const domains = [...byDomain.keys()];
  const experts = [...byDomain.values()][0].map((record) => record.expert);
  const cell = (record) => { const { share, uniform } = shareOf(record); return uniform > 0 ? share / uniform : null; };
  const cells = (of) => domains.map((name) => byDomain.get(name).map(of));
  const z = cells(cell);
  const text = cells((record) => `${chartText(record.domain)}, expert ${record.expert}<br>${shareText(analysis, record)}<br>${formatNumber(cell(record))}× uniform`
    + (isNumber(record.top1_share) ? `<br>first choice of ${(record.top1_share * 100).toPrecision(4)} %` : ""));
  const highest = Math.max(2, ...z.flat().filter(isNumber));
  return heatMap({ z, text, records: cells((record) => record), x: experts, y: domains.map((name) => chartText(name, width < kNarrow ? 12 : 24)), scale: loadScale(), zmin: 0, zmax: Math.min(highest, 8), width,
    bar: { ticksuffix: "×" }, xTitle: "expert", height: 130 + 34 * domains.length, meta: { role: "domain-shares", layer: analysisView.layer, model: analysis.name, domains } });
}

function buildDomainBars(analysis, width, everyDomain) {
  const byDomain = sharesAtLayer(analysis);
  if (byDomain.size === 0) return null;
  const domains = [...byDomain.keys()];
  const lead = byDomain.get(analysisView.domain) || byDomain.get(domains[0]);
  const order = [...lead].sort((a, b) => shareOf(b).share - shareOf(a).share).map((record) => record.expert);
  const shown = order.slice(0, Math.max(8, Math.floor(width / (7 * domains.length + 6))));  // bars that can be told apart
  const value = isNumber(lead[0].share_of_tokens) ? "share_of_tokens" : "share_of_assignments";
  const data = domains.map((name) => {
    const of = new Map(byDomain.get(name).map((record) => [record.expert, record]));
    const records = shown.filter((expert) => of.has(expert)).map((expert) => of.get(expert));
    return { type: "bar", name: chartText(name), x: records.map((record) => String(record.expert)), y: records.map((record) => shareOf(record).share), records,
      error_y: intervalBars(records, value, themeColor("ink")), marker: { color: seriesStyle(everyDomain.indexOf(name), 0).color },
      customdata: records.map((record) => shareText(analysis, record)), hovertemplate: `expert %{x}: %{customdata}<extra>${chartText(name)}</extra>`,
      meta: { role: "domain-bars", domain: name, layer: analysisView.layer, model: analysis.name } };
  });
  const { uniform, unit } = shareOf(lead[0]);
  const shapes = isNumber(uniform) ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: uniform, y1: uniform, line: { color: themeColor("soft"), width: 1.5, dash: "dash" } }] : [];
  return { data, height: 360, note: shown.length < order.length ? `The ${shown.length} busiest of ${order.length} experts.` : "",
    layout: { barmode: "group", bargap: 0.25, shapes, hovermode: "closest", xaxis: { title: "expert", type: "category", uirevision: `${analysisView.layer}` },
      yaxis: { title: `share ${unit}`, tickformat: ".0%", rangemode: "tozero" } } };
}

function buildSimilarity(analysis, width) {
  const records = analysisRecords(analysis, "domain_similarity").filter((record) => record.layer === analysisView.layer);
  if (records.length === 0) return null;
  const domains = unique(records.flatMap((record) => [record.domain_a, record.domain_b]));
  const of = new Map();
  for (const record of records) {
    of.set(JSON.stringify([record.domain_a, record.domain_b]), record);
    of.set(JSON.stringify([record.domain_b, record.domain_a]), record);
  }
  const at = (a, b) => of.get(JSON.stringify([a, b]));
  const cells = (value) => domains.map((a) => domains.map((b) => value(a, b, at(a, b))));
  const z = cells((a, b, record) => (a === b ? 1 : (record || {}).correlation ?? null));
  const text = cells((a, b, record) => (a === b || !record ? chartText(a)
    : `${chartText(a)} and ${chartText(b)}<br>correlation ${formatNumber(record.correlation)}, overlap ${formatNumber(record.overlap)}${hoverCounts(analysis, "domain_similarity", record, { value: "correlation" })}`));
  const names = domains.map((name) => chartText(name, width < kNarrow ? 10 : 18));
  return heatMap({ z, text, records: cells((a, b, record) => record), x: names, y: names, scale: similarityScale(), zmin: -1, zmax: 1, height: 170 + 40 * domains.length, width,
    meta: { role: "domain-similarity", layer: analysisView.layer, model: analysis.name, domains } });
}

// Minus one to one: orange apart, the panel's colour unrelated, blue alike.
function similarityScale() {
  const [worse, none, better] = [changeScale()[2][1], changeScale()[1][1], changeScale()[0][1]];
  return [[0, worse], [0.5, none], [1, better]];
}

function addLocalitySection(report) {
  const intro = "How often a token and the next one of the same document go to the same expert.";
  addAnalysisSection("locality", "Neighbouring tokens", intro, (section) => {
    const pair = make("div", { class: "pair" });
    section.append(pair);
    const chart = (id, value, chance, title, dotted) => addAnalysisChart(report, pair, { id, title, caption: `Share of the pairs of neighbours, within a sequence and document. Dotted: ${dotted}.${tableSource(report, "temporal_locality")}`,
      build: () => layerLines(report, { table: "temporal_locality", value, chance, series: (record) => record.domain, title: "share of neighbours", percent: true }) });
    chart("locality-first", "first_choice", "load_first", "The same first choice", "what independent choices at the layer's own load would give");
    chart("locality-any", "any_choice", "chance_any", "Any expert shared", "what uniform random routing would give; an uneven load alone lies above it");
  });
}

function addDropsByPositionSection(report) {
  const dropped = (record) => record.any_dropped > 0 || record.dropped > 0;
  addAnalysisSection("analysis-drops", "Dropped tokens", "Assignments beyond an expert's capacity are dropped; later positions suffer where capacity is filled in order.", (section) => {
    addAnalysisChart(report, section, { id: "drops-by-position", title: "Drops by position, in the chosen layer", caption: `Share of tokens with at least one slot dropped; dashed: with every slot dropped.${tableSource(report, "drop_by_position")}`,
      tables: ["drop_by_position"], where: dropped, build: (width) => modelPanels(report, width, buildDropsByPosition) });
    addAnalysisChart(report, section, { id: "drops-by-distance", title: "Drops and how far a data set is from the first one", tables: ["drops"], where: dropped,
      caption: `Each point is a layer, named beside it, on one data set: the share of its assignments that were dropped, against the distance of its load from that on the first data set (0: the same experts, 1: others).${tableSource(report, "drops")}`,
      build: (width) => buildDropsByDistance(report, width) });
  });
}

function buildDropsByPosition(analysis, width, domains) {
  const records = analysisRecords(analysis, "drop_by_position").filter((record) => record.layer === analysisView.layer);
  const data = unique(records.map((record) => record.domain)).flatMap((name) => {
    const rows = records.filter((record) => record.domain === name).sort((a, b) => a.position_from - b.position_from);
    const { color } = seriesStyle(domains.indexOf(name), 0);
    return [["any_dropped", "solid"], ["all_dropped", "dash"]].map(([figure, dash]) => ({ type: "scatter", mode: "lines+markers", name: chartText(name), showlegend: figure === "any_dropped",
      legendgroup: name, x: rows.map((record) => (record.position_from + record.position_to - 1) / 2), y: rows.map((record) => record[figure]), records: rows,
      customdata: rows.map((record) => `positions ${record.position_from} to ${record.position_to - 1}${hoverCounts(analysis, "drop_by_position", record, { value: figure })}`),
      hovertemplate: `${plain(figure)} %{y:.2%}<br>%{customdata}<extra>${chartText(name)}</extra>`, error_y: intervalBars(rows, figure, color),
      line: { color, dash, width: 2 }, marker: { color, size: 5 }, meta: { role: "drops", domain: name, figure, layer: analysisView.layer, model: analysis.name } }));
  });
  if (data.length === 0) return null;
  return { data, height: 380, layout: { hovermode: "closest", xaxis: { title: "position in the sequence", zeroline: false }, yaxis: { title: "share of tokens", tickformat: ".1%", rangemode: "tozero" } } };
}

function buildDropsByDistance(report, width) {
  const domains = analysisDomains(report);
  const data = report.analyses.flatMap((analysis, model) => domains.flatMap((name) => {
    const rows = analysisRecords(analysis, "drops").filter((record) => record.domain === name && isNumber(record.layer) && isNumber(record.load_distance) && isNumber(record.dropped));
    if (rows.length === 0) return [];
    const style = seriesStyle(domains.indexOf(name), model);
    const capacity = (record) => (record.capacity_most > 0 ? `capacity ${record.capacity_least === record.capacity_most ? formatNumber(record.capacity_most) : `${formatNumber(record.capacity_least)} to ${formatNumber(record.capacity_most)}`} of an expert and group` : "no capacity");
    const label = lineLabel(report, analysis, name);
    return [{ type: "scatter", mode: "markers+text", name: label, x: rows.map((record) => record.load_distance), y: rows.map((record) => record.dropped), records: rows, error_y: intervalBars(rows, "dropped", style.color),
      text: rows.map((record) => String(record.layer)), textposition: "middle right", textfont: { color: themeColor("soft"), size: 12 }, cliponaxis: false, marker: { color: style.color, symbol: style.symbol, size: 10 },
      customdata: rows.map((record) => `layer ${record.layer}<br>${formatPercent(record.dropped)} dropped at distance ${formatNumber(record.load_distance)}<br>any slot of ${formatPercent(record.any_dropped)}, all of ${formatPercent(record.all_dropped)} of the tokens<br>${capacity(record)}${hoverCounts(analysis, "drops", record, { value: "dropped" })}`),
      hovertemplate: `%{customdata}<extra>${label}</extra>`, meta: { role: "drops-by-distance", domain: name, model: analysis.name } }];
  }));
  if (data.length === 0) return null;
  return { data, height: 400, note: thinLabels(data, 0.85 * (width - 90), 260) ? kThinned : "", layout: { hovermode: "closest", xaxis: { title: "distance of the load from the first data set's", zeroline: false }, yaxis: { title: "share of assignments dropped", tickformat: ".1%", rangemode: "tozero" } } };
}

function addRecomputedLossSection(report) {
  const intro = "The same routing under the normalisation of each source, divided by its value at uniform routing: 1 is balanced. z has no such value and stands apart.";
  const ofDomain = (record) => record.domain === analysisView.domain;
  const shared = { table: "balance_losses", series: (record) => record.loss };
  addAnalysisSection("recomputed-losses", "Balance losses, layer by layer", intro, (section) => {
    addAnalysisChart(report, section, { id: "balance-losses", title: "Balance losses over the layers", caption: `For the chosen data set. Losses that differ by a factor lie on each other.${tableSource(report, "balance_losses")}`, tables: ["balance_losses"], where: (record) => record.uniform > 0,
      build: () => layerLines(report, { ...shared, value: "relative", title: "loss ÷ its uniform value", where: ofDomain, meta: { domain: analysisView.domain },
        records: (analysis) => analysisRecords(analysis, "balance_losses").map((record) => ({ ...record, relative: record.uniform > 0 ? record.value / record.uniform : null })) }) });
    addAnalysisChart(report, section, { id: "z-loss", title: "z-loss over the layers", caption: "For the chosen data set: the mean square of the logarithm of the sum of the exponentiated logits, which grows with their size.",
      tables: ["balance_losses"], where: (record) => isNumber(record.layer) && record.uniform === null,
      build: () => layerLines(report, { ...shared, value: "value", title: "z-loss", where: (record) => ofDomain(record) && record.uniform === null, meta: { domain: analysisView.domain } }) });
  });
}
