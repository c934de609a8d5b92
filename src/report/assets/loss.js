// Loss, learning rate and speed over the run.

function addLossSection(report) {
  const section = addSection("loss", "Loss", report.arms.some((arm) => arm.shift)
    ? `Cross-entropy on held-out text, one panel a data set. ${hasBorders(report.arms) ? "The dotted lines are the borders between phases: left of the first one" : "The dotted line is the shift: left of it"} the model has seen only the first phase's data.`
    : "Cross-entropy on held-out text, one panel a data set.");
  const scoredBy = scoredByWords(report);
  if (scoredBy) addNote(section, scoredBy);
  addChart(section, {
    id: "heldout", title: "Held-out loss", caption: `Lower is better.${report.seeds > 1 ? ` Lines are means over seeds; bands are ${errorWords(report)}.` : barNote(report)}`,
    missing: "No held-out set was evaluated in this run.", build: (width) => buildHeldOutLoss(report, width),
  });
  addChart(section, {
    id: "training-loss", title: "Training loss",
    caption: `Cross-entropy of each step's batch, without the balance terms.${report.arms.some((arm) => arm.shift) ? ` A jump at ${hasBorders(report.arms) ? "a dotted line" : "the shift"} is the new data.` : ""}${objectivesNote(report)}${strideNote(report)}${seedNote(report)}`,
    missing: "No training steps were recorded.", build: () => buildTrainingLoss(report),
  });
}

// Where phases or arms are trained by different objectives.
function objectivesNote(report) {
  const objectives = unique(report.arms.flatMap((arm) => (arm.resolved.phase || []).map((phase, i) => objectiveOf(arm.phases[i] || {}, phase))));
  return objectives.length > 1 ? ` Trained by ${list(objectives)}: losses by different objectives do not compare.` : "";
}

function seedNote(report) {
  return report.seeds > 1 ? ` Lines are means over seeds; bands are ± 1 standard deviation${sharedStartWords(report)}.` : "";
}

function barNote(report) {
  const words = errorWords(report);
  return words ? ` Bars: ${words}.` : "";
}

function tokensAxis() { return { title: "tokens trained on", tickformat: "~s", rangemode: "tozero" }; }

function buildHeldOutLoss(report, width) {
  if (report.dataSets.length === 0) return null;
  const facets = panels(report.dataSets, width, 330);
  const suffixes = report.dataSets.map((_, i) => facets.suffix(i));
  const named = new Set();  // groups that the legend has: each by the first panel in which it has points
  const data = report.dataSets.flatMap((name, i) => report.groups.flatMap((group) => {
    const series = groupSeries(group, (arm) => arm.evals.filter((line) => line.eval[name])
      .map((line) => [line.tokens, line.eval[name].loss, line.eval[name].loss_se]));
    const showlegend = series.x.length > 0 && !named.has(group);
    if (showlegend) named.add(group);
    return groupLine(group, series, { panel: facets.suffix(i), showlegend, markers: true, over: "tokens", meta: { data: name } });
  }));
  const marks = report.dataSets.map((name, i) => shiftMarks(report.arms.filter((arm) => arm.evals.some((line) => line.eval[name])), "tokens", suffixes[i]));
  const layout = { grid: facets.grid, shapes: marks.flatMap(({ shapes }) => shapes), annotations: [...facets.annotations, ...marks.flatMap(({ annotations }) => annotations)],
    hovermode: "closest", margin: { t: 36 } };
  suffixes.forEach((suffix, i) => {
    const outer = i % facets.columns === 0;
    layout[`xaxis${suffix}`] = tokensAxis();
    layout[`yaxis${suffix}`] = { title: outer ? "loss, nats per token" : undefined };
  });
  return { data, layout, height: facets.height };
}

function buildTrainingLoss(report) {
  const data = report.groups.flatMap((group) =>
    groupLine(group, groupSeries(group, (arm) => arm.steps.map((line) => [line.tokens, line.loss])), { width: 1.6, over: "tokens" }));
  if (data.every((trace) => trace.x.length === 0)) return null;
  const marks = shiftMarks(report.arms, "tokens");
  return { data, height: 380, layout: { ...marks, hovermode: "closest", xaxis: tokensAxis(), yaxis: { title: "loss, nats per token" } } };
}

function addLearningRateSection(report) {
  const section = addSection("learning-rate", "Learning rate",
    "The schedule as planned from the recipe, and the rate that each step used. Arms with the same curves share a line.");
  addChart(section, {
    id: "learning-rate", title: "Learning rate, planned and used", caption: "Line: planned. Dots: used, every few steps.",
    missing: "Neither a planned curve nor used rates were recorded.", build: () => buildLearningRate(report),
  });
}

// Arms are drawn once per distinct pair of curves, in the colour of the first.
function buildLearningRate(report) {
  const curves = new Map();
  for (const arm of report.arms) {
    const used = arm.steps.map((line) => [line.step, line.lr]);
    const key = JSON.stringify([arm.lr_curve || [], used]);
    if (!curves.has(key)) curves.set(key, { planned: arm.lr_curve || [], used, arms: [] });
    curves.get(key).arms.push(arm);
  }
  const data = [];
  for (const { planned, used, arms } of curves.values()) {
    const group = report.groups.find((candidate) => candidate.name === arms[0].group);
    const names = arms.length === report.arms.length ? "all arms" : arms.length > 2
      ? `${chartName(arms[0].name)} and ${arms.length - 1} more` : arms.map((arm) => chartName(arm.name)).join(", ");
    const label = report.arms.length === 1 ? "" : `, ${names}`;
    const style = groupStyle(group);
    const every = Math.max(1, Math.ceil(used.length / 60));
    const dots = used.filter((_, i) => i % every === 0 || i === used.length - 1);
    const meta = { arms: arms.map((arm) => arm.name) };
    const rows = (rate, points) => arms.flatMap((arm) => points.map(([step, value]) => ({ arm: arm.name, rate, step, "learning rate": value })));
    if (planned.length > 0) data.push({ type: "scatter", mode: "lines", name: `planned${label}`, x: planned.map((point) => point[0]),
      y: planned.map((point) => point[1]), line: { color: style.color, width: 2.2, dash: style.dash }, meta: { role: "planned", ...meta }, rows: rows("planned", planned) });
    if (dots.length > 0) data.push({ type: "scatter", mode: "markers", name: `used${label}`, x: dots.map((point) => point[0]),
      y: dots.map((point) => point[1]), marker: { color: style.color, size: 6, symbol: "circle-open" }, meta: { role: "used", ...meta }, rows: rows("used", used) });
  }
  if (data.length === 0) return null;
  const marks = shiftMarks(report.arms, "steps");
  return { data, height: 340, layout: { ...marks, hovermode: "closest", xaxis: { title: "step", rangemode: "tozero" },
    yaxis: { title: "learning rate", rangemode: "tozero", exponentformat: "power" } } };
}
