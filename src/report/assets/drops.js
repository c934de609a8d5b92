// What was over capacity: only where an arm has a capacity rule.

function hasCapacity(arm) {
  const capacity = (arm.resolved.model || {}).capacity;
  return Boolean(capacity) && capacity.rule !== undefined && capacity.rule !== "none";
}

function addDropsChart(report, section, groups) {
  const limited = groups.filter((group) => group.arms.some(hasCapacity));
  if (limited.length === 0) return;
  const rules = unique(limited.flatMap((group) => group.arms.filter(hasCapacity).map((arm) => arm.resolved.model.capacity.rule)));
  addChart(section, { id: "drops", title: "Dropped assignments in training",
    caption: `Share of a step's assignments that were over an expert's capacity (${list(rules)}) and contributed nothing. Arms without a capacity drop none and have no line.${strideNote(report)}`,
    missing: "No drops were recorded.",
    build: () => buildDrops(limited) });
}

function buildDrops(groups) {
  const { layer, range } = balanceView;
  const data = groups.flatMap((group) => groupLine(group,
    groupSeries(group, (arm) => (hasCapacity(arm) ? arm.steps : []).map((line) => [line.step, routingFigure(line.routing, layer, "dropped")])),
    { width: 1.9, meta: { figure: "dropped", layer } }));
  if (data.every((trace) => trace.x.length === 0)) return null;
  const arms = groups.flatMap((group) => group.arms);
  return { data, height: 320, layout: { ...shiftMarks(arms, "steps"), hovermode: "closest", xaxis: stepsAxis(arms, range),
    yaxis: { title: "share of assignments", rangemode: "tozero", tickformat: ".0%", uirevision: `${range}${layer}` } } };
}
