// Tokens to reach a loss, and speed.

function addCostSection(report) {
  const hasDense = report.kind === "study" && report.groups.some((group) => group.model === "dense");
  const table = report.tables.get("tokens_to_loss");
  const hasTokens = table && table.records.length > 0;
  const reference = hasTokens ? tokensReference(report) : "";
  const section = addSection("cost", "Tokens and speed",
    `What a model costs: ${hasTokens ? `how many tokens it needs to reach the loss at which ${reference} ended its first phase, and ` : ""}how fast it trains.`);
  const pair = make("div", { class: "pair" });
  section.append(pair);
  if (hasTokens) {
    addChart(pair, { id: "tokens-to-loss", title: `Tokens to reach the loss of ${reference}`,
      caption: `Until the loss on ${tokensData(report)} is as low as that of ${reference} at the end of the first phase. Fewer is better.${evaluationAside(report)}${report.seeds > 1 ? " Whiskers: ± 1 standard deviation over seeds." : ""}`,
      missing: `No arm was evaluated on ${tokensData(report)}.`, build: (width) => buildTokensToLoss(report, width) });
  }
  addChart(pair, { id: "throughput", title: "Training speed",
    caption: hasDense ? `In each bar: the rate divided by the dense arm's${flopAside(report)}.${busyAside(report)}` : aloneWords(report), build: (width) => buildThroughput(report, width) });
  if (hasTokens) for (const sentence of notReachedSentences(report, reference)) addNote(section, sentence);
  if (!charts.has("throughput")) {
    addChart(section, { id: "speed", title: "Training speed, step by step", caption: `Tokens per second of each step, evaluation and saving excluded.${strideNote(report)}`,
      build: () => buildSpeed(report), missing: "No step times were recorded." });
  }
}

function barRows(report, rows, { values, texts, title, width, meta, tickformat }) {
  const data = [{ type: "bar", orientation: "h", x: values.map((value) => (value ? value.mean : null)), y: rows.map((_, i) => -i), text: texts, textposition: "auto",
    insidetextanchor: "start", textfont: { size: 14 }, cliponaxis: false, width: 0.7, customdata: rows.map((group) => group.name), hovertext: rows.map((group) => hoverName(group.name)),
    hovertemplate: "%{hovertext}<br>%{x:,.0f}<extra></extra>",
    error_x: { type: "data", array: values.map((value) => (value ? value.std : 0)), visible: report.seeds > 1, color: themeColor("ink"), thickness: 1.3, width: 3 },
    marker: { color: rows.map((group) => groupStyle(group).color) }, meta,
    rows: rows.map((group, i) => figureRow({ arm: group.name, ...(meta.data ? { "data set": meta.data } : {}), figure: title }, values[i])) }];
  return { data, height: 100 + rowPitch(rows, width, 42) * rows.length, layout: { hovermode: "closest", showlegend: false, margin: { l: 20, t: 12 },
    annotations: rows.map((_, i) => ({ x: 0, y: -i, xanchor: "left", text: texts[i], showarrow: false, font: { color: themeColor("soft"), size: 14 } })).filter((_, i) => !values[i]),  // where there is no bar to hold the text
    xaxis: { title, tickformat, rangemode: "tozero", nticks: width < kNarrow ? 4 : undefined }, yaxis: groupRows(rows, width) } };
}

// After the caption: that bars are without a ratio, where it is so. A measured dense arm has the ratio 1 unless it was busy.
function busyAside(report) {
  const table = report.tables.get("throughput");
  if (!table || !table.records.some((record) => record.ratio_to_dense === null)) return "";
  if (!table.records.some((record) => report.arms.some((arm) => arm.name === record.arm && arm.model === "dense"))) return "";
  return " None where the machine was busy with other work while a speed was measured.";
}

// Of speeds that stand alone: how they were measured. The table's source has the names of those that were not alone.
function aloneWords(report) {
  const { source = "" } = report.tables.get("throughput") || {};
  return (source || "").includes("The machine was busy") ? "The machine was busy with other work while a speed was measured, so these say little of the models." : "Each model alone on the machine.";
}

function buildThroughput(report, width) {
  const figure = (group, name) => groupFigure(report, group, "throughput", name, () => true);
  const rows = visibleGroups(report.groups).filter((group) => figure(group, "tokens_per_second") !== null);
  if (rows.length === 0) return null;
  const texts = rows.map((group) => {
    const ratio = figure(group, "ratio_to_dense");
    return ratio ? `${ratio.mean.toFixed(2)}× dense` : busyAside(report) ? "busy machine" : "";
  });
  return barRows(report, rows, { values: rows.map((group) => figure(group, "tokens_per_second")), texts, title: "tokens per second", width,
    meta: { role: "throughput" }, tickformat: ",.0f" });
}

// Every arm has its row; one that does not get there has no bar, and says so.
function buildTokensToLoss(report, width) {
  const figure = (group) => groupFigure(report, group, "tokens_to_loss", "tokens", (record) => record.data === tokensData(report));
  const rows = visibleGroups(report.groups).filter((group) => tokensRecords(report, group).length > 0);
  if (rows.length === 0) return null;
  const dense = rows.find((group) => group.model === "dense" && figure(group) !== null);
  const texts = rows.map((group) => {
    if (figure(group) === null) return "not reached";
    const ratio = dense ? ` (${(figure(group).mean / figure(dense).mean).toFixed(2)}× dense)` : "";
    return `${formatLarge(figure(group).mean)}${width < 420 ? "" : ratio}`;
  });
  return barRows(report, rows, { values: rows.map(figure), texts, title: "tokens trained on", width,
    meta: { role: "tokens-to-loss", data: tokensData(report) }, tickformat: "~s" });
}

// After the caption: how finely the tokens are known, by the longest interval between two evaluations of the set.
function evaluationAside(report) {
  const gaps = report.arms.flatMap((arm) => {
    const seen = arm.evals.filter((line) => line.eval[tokensData(report)]).map((line) => line.tokens);
    return seen.map((tokens, i) => tokens - (i > 0 ? seen[i - 1] : 0));
  }).filter((gap) => gap > 0);
  return gaps.length > 0 ? ` The loss is known at evaluations alone, up to ${formatLarge(Math.max(...gaps))} tokens apart: a smaller difference is none.` : "";
}

function tokensRecords(report, group) {
  return report.tables.get("tokens_to_loss").records.filter((record) => record.data === tokensData(report) && group.arms.some((arm) => arm.name === record.arm));
}

// What is said of arms that never came down to the reference's loss, by what the error of the losses says of what they miss.
function notReachedSentences(report, reference) {
  const kinds = { above: [], near: [], unknown: [], unseen: [] };
  let isPartly = false;
  for (const group of report.groups) {
    const records = tokensRecords(report, group);
    const missing = records.filter((record) => record.tokens === null);
    if (missing.length === 0) continue;
    const isWhole = missing.length === records.length;
    isPartly = isPartly || !isWhole;
    const gap = isWhole ? groupFigure(report, group, "tokens_to_loss", "short_by", (record) => record.data === tokensData(report)) : null;
    const { beyond_noise: beyond, short_by: short } = missing[0];
    const kind = short === null ? "unseen" : beyond === true ? "above" : beyond === false ? "near" : "unknown";
    kinds[kind].push(`${isWhole ? group.name : `${missing.length} of ${records.length} seeds of ${group.name}`}${gap ? ` (${withError(gap.mean, gap.std)} nats above it at the lowest)` : ""}`);
  }
  const say = (kind, words) => (kinds[kind].length > 0 ? [`${words}: ${list(kinds[kind])}.`] : []);
  return [...say("above", `Never as low as ${reference}, beyond noise`), ...say("near", `Not at or below the loss of ${reference}, though no difference from it is beyond noise`),
    ...say("unknown", `Not at or below the loss of ${reference}, with an error that is not known`), ...say("unseen", `Not evaluated on ${tokensData(report)}`),
    ...(isPartly ? ["Means of tokens are over the seeds that got there."] : [])];
}

// What the table compares with: the dense arm, else the first group.
function tokensReference(report) {
  const { reference } = report.tables.get("tokens_to_loss").records[0];
  const group = report.groups.find(({ name }) => name === reference);
  return !group || group.model === "dense" ? "the dense arm" : group.name;
}

// The set that the first phase taught, where the table has it.
function tokensData(report) {
  const sets = unique(report.tables.get("tokens_to_loss").records.map((record) => record.data));
  return sets.includes(report.oldData) ? report.oldData : sets[0];
}

function buildSpeed(report) {
  const data = report.groups.flatMap((group) => groupLine(group,
    groupSeries(group, (arm) => arm.steps.map((line) => [line.step, line.tokens_per_second])), { width: 1.6, meta: { figure: "tokens_per_second" } }));
  if (data.every((trace) => trace.x.length === 0)) return null;
  return { data, height: 320, layout: { ...shiftMarks(report.arms, "steps"), hovermode: "closest", xaxis: { title: "step" },
    yaxis: { title: "tokens per second", rangemode: "tozero", tickformat: ",.0f" } } };
}
