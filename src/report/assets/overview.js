// The head of the page and what was run.

function addHead(report) {
  const headlines = report.results.headlines || [];
  document.title = `${report.title} · evenkeel`;
  const kicker = report.kind === "study" ? `Study of ${report.arms.length} arms` : report.kind === "run" ? "Training run" : "Analysis of routing";
  const main = document.getElementById("content");
  main.append(make("header", { id: "top" }, make("p", { class: "kicker" }, kicker), make("h1", {}, report.title),
    headlines.length > 0 ? make("p", { class: "lead" }, headlines[0]) : null,
    tiles(keyFigures(report)),
    headlines.length > 1 ? make("ul", { class: "headlines" }, ...headlines.slice(1).map((sentence) => make("li", {}, sentence))) : null,
    warningsNotice(report), recipeNotice(report)));
}

function tiles(figures) {
  if (figures.length === 0) return null;
  const parts = (value) => value.split(/([\u00a0 ]±[\u00a0 ][\d.]+)/).map((part) => (/^[\u00a0 ]±/.test(part) ? make("span", { class: "spread" }, part) : part));
  return make("dl", { class: "tiles" }, ...figures.map(([value, label, digits]) =>
    make("div", { class: "tile" }, make("dt", {}, label), make("dd", { title: digits }, ...parts(value)))));
}

// From the least to the greatest of some figures ({mean, std}), each with its error where it has one.
function interval(figures, { plainly, signed = false }) {
  const ordered = [...figures].sort((a, b) => a.mean - b.mean);
  const ends = unique([ordered[0], ordered.at(-1)].map(({ mean: value, std }) => (std > 0 ? withError(value, std, signed) : plainly(value))));
  return ends.join(signed || ends.some((end) => end.includes("±")) ? " to " : "–");
}

// The figures that answer the page's questions, each from a table: [value, label, full digits].
function keyFigures(report) {
  const figures = [];
  const shifted = report.groups.filter((group) => group.arms[0].phases.length > 1);
  const change = (group) => groupFigure(report, group, "forgetting", forgettingColumn(report), (record) => record.data === report.oldData && record.phase === group.arms[0].phases.at(-1).name);
  const replayOf = (group) => group.arms[0].replay_fraction || 0;
  const fractions = unique(shifted.map(replayOf)).sort((a, b) => a - b).filter((fraction) => fraction < 1);
  for (const fraction of fractions.length > 2 ? [fractions[0], fractions.at(-1)] : fractions) {
    const changes = shifted.filter((group) => replayOf(group) === fraction).map(change).filter((figure) => figure !== null);
    if (changes.length === 0 || !report.newData) continue;
    const how = fraction === 0 ? "without replay" : `with ${formatNumber(fraction * 100)} % replay`;
    figures.push([interval(changes, { plainly: formatSigned, signed: true }), `nats: change of the loss on ${report.oldData} after the shift, ${how}`, changes.map(({ mean: value }) => String(value)).join(" … ")]);
  }
  const peak = highestPeak(report);
  if (peak) figures.push([percentOf(peak.peak), `of a training batch's tokens go to one expert at the peak after the shift${peak.isOneOfMany ? ` to ${peak.phase}` : ""}, ${peak.name}; ${peak.isOfFirstPhase ? "" : `before it ${percentOf(peak.before)}, `}an even load is ${percentOf(peak.lower_bound)}`, String(peak.peak.mean)]);
  const speed = speedFigure(report);
  if (speed) figures.push(speed);
  if (report.arms.length === 0) figures.push(...analysisFigures(report));
  if (figures.length < 3 && report.arms.length === 1) figures.push(...runFigures(report.arms[0]));
  return figures.slice(0, 4);
}

// How fast the MoE arms train against the dense one; null without a dense arm that was measured.
function speedFigure(report) {
  const table = report.tables.get("throughput");
  const of = (isMoe) => (table ? table.records.filter((record) => report.arms.some((arm) => arm.name === record.arm && arm.isMoe === isMoe)) : []);
  const ratios = of(true).map((record) => record.ratio_to_dense).filter(isNumber);
  const label = "training speed of the MoE arms, dense = 1";
  const nBusy = of(true).length - ratios.length;
  if (of(false).length === 0 || of(true).length === 0) return null;
  if (ratios.length === 0) return ["no ratio", `${label}: the machine was busy with other work while it was measured`, ""];
  const figures = report.groups.filter((group) => group.isMoe).map((group) => groupFigure(report, group, "throughput", "ratio_to_dense", () => true)).filter((figure) => figure !== null);
  return [`${interval(figures, { plainly: (value) => value.toFixed(2) })}×`, nBusy > 0 ? `${label}; without ${nBusy} of ${of(true).length}, as the machine was busy with other work meanwhile` : label, ratios.map(String).join(", ")];
}

// What an analysis rests on: layers, experts, tokens.
function analysisFigures(report) {
  const loads = report.analyses.flatMap((analysis) => analysisRecords(analysis, "load"));
  const experts = report.analyses.flatMap((analysis) => analysisRecords(analysis, "domain_specialization").map((record) => record.expert));
  if (loads.length === 0) return [];
  const busiest = loads.filter((record) => isNumber(record.mri)).reduce((top, record) => (top === null || record.mri > top.mri ? record : top), null);
  const figures = [[formatNumber(analysisLayers(report).length), `MoE layers${experts.length > 0 ? ` of ${Math.max(...experts) + 1} experts` : ""}`, ""]];
  const tokens = report.analyses.map((analysis) => unique(analysisRecords(analysis, "load").map((record) => record.domain)).map((name) =>
    (analysisRecords(analysis, "load").find((record) => record.domain === name) || {}).tokens).filter(isNumber).reduce((sum, value) => sum + value, 0));
  if (Math.max(...tokens) > 0) figures.push([formatLarge(Math.max(...tokens)), `tokens of ${list(analysisDomains(report).map(String)).slice(0, 80)}`, tokens.join(", ")]);
  if (busiest) figures.push([`${(busiest.mri * 100).toFixed(1)} %`, `of the tokens of ${busiest.domain} go to one expert of layer ${busiest.layer}: the largest imbalance`, String(busiest.mri)]);
  return figures;
}

// A share ({mean, std}) in percent, with its error where it has one.
function percentOf({ mean: share, std }) { return `${std > 1e-12 ? withError(share * 100, std * 100) : (share * 100).toFixed(1)}\u00a0%`; }

// The group and the shift whose busiest expert rises farthest above an even load, with its shares over the seeds; a ratio to what was before would pass over a
// router that was collapsed before. isOfFirstPhase: `before` is of held-out text at step 0, no point that training batches rise from.
function highestPeak(report) {
  const counts = (record) => record.layer === null && isNumber(record.before) && isNumber(record.peak);
  const table = report.tables.get("shift_mri");
  const phases = unique(table ? table.records.filter(counts).map((record) => record.phase) : []);
  const of = (group, phase, key) => groupFigure(report, group, "shift_mri", key, (record) => counts(record) && record.phase === phase);
  const peaks = report.groups.flatMap((group) => phases.map((phase) => ({ name: group.name, phase, isOneOfMany: phases.length > 1, isOfFirstPhase: group.arms[0].phases[0].name === phase, peak: of(group, phase, "peak"), before: of(group, phase, "before"), lower_bound: of(group, phase, "lower_bound") })))
    .filter(({ peak }) => peak !== null);
  const height = (found) => found.peak.mean / found.lower_bound.mean;
  return peaks.length > 0 ? peaks.reduce((top, found) => (height(found) > height(top) ? found : top)) : null;
}

function runFigures(arm) {
  const tokens = arm.phases.reduce((sum, phase) => sum + phase.tokens, 0);
  const seconds = arm.phases.reduce((sum, phase) => sum + phase.seconds, 0);
  return [[formatLarge(tokens), "tokens trained on", String(tokens)], [formatSeconds(seconds), "of training", String(seconds)],
    [formatLarge(arm.parameters), "parameters", String(arm.parameters)]];
}

function addSetupSection(report) {
  const section = addSection("setup", "What was run", machineSentence(report));
  section.append(make("h3", {}, report.arms.length > 1 ? "Arms" : "Model"), armsTable(report));
  if (report.groups.filter((group) => group.isMoe).length > 1 && routingWords(report)) addNote(section, routingWords(report).trim());
  const phases = phaseRows(report);
  if (phases.rows.length > 0) section.append(make("h3", {}, "Phases"), tableView(phases));
}

function machineSentence(report) {
  const machine = report.results.machine || {};
  const model = (report.arms.find((arm) => arm.resolved.model) || { resolved: {} }).resolved;
  const words = [];
  if (model.model) words.push(`Decoders of ${model.model.n_layers} layers, width ${formatNumber(model.model.d_model)}, vocabulary ${formatNumber(model.model.vocab_size)}`
    + (model.train ? `; ${model.train.batch_size} sequences of ${model.train.sequence_length} tokens a step.` : "."));
  if (report.seeds > 1) words.push(`${report.groups.every((group) => group.arms.length === report.seeds) ? "" : "Up to "}${report.seeds} seeds per arm; figures are means over seeds; those of losses with ${errorWords(report)}, others with ± 1 standard deviation over seeds.`);
  const place = [machine.cpu, machine.device && machine.device !== "cpu" ? machine.device : "", machine.cpu ? "" : machine.device].filter((word) => word).join(", ");
  const sideBySide = Math.max(1, ...report.arms.map((arm) => arm.runs_at_a_time || 1));
  if (place) words.push(`Machine: ${place}${machine.isa ? ` (${machine.isa})` : ""}${machine.threads ? `, ${machine.threads} ${machine.threads === 1 ? "thread" : "threads"}` : ""}`
    + `${isNumber(machine.memory_bytes) && machine.memory_bytes > 0 ? `, ${formatNumber(Math.round(machine.memory_bytes / 2 ** 30))} GiB` : ""}${machine.torch ? `, LibTorch ${machine.torch}` : ""}`
    + `${sideBySide > 1 ? `; up to ${sideBySide} arms ran at a time` : ""}`
    + `${isNumber(machine.gemm_gflops) ? `, ${formatNumber(machine.gemm_gflops)} GFLOP/s measured on matrix products` : ""}.`);
  return words.join(" ");
}

function armsTable(report) {
  const column = (name, unit) => ({ name, unit });
  const rows = report.groups.map((group) => {
    const arm = group.arms[0];
    const model = arm.resolved.model || {};
    const experts = group.isMoe && model.n_experts ? `${model.n_experts}${model.n_shared_experts ? ` + ${model.n_shared_experts} shared` : ""}, top ${model.top_k}` : null;
    const total = (key) => mean(group.arms.map((member) => member.phases.reduce((sum, phase) => sum + phase[key], 0)));
    const { balance, z, capacity } = group.isMoe ? lossesAndCapacity(model) : { balance: null, z: null, capacity: null };
    return [group.name, arm.model, group.isMoe ? arm.router : null, balance, z, capacity, experts, arm.replay_fraction || 0, arm.parameters, arm.active_parameters, arm.flops_per_token,
      total("tokens"), formatSeconds(total("seconds")), group.arms.map((member) => member.seed).join(", ")];
  });
  const view = tableView({ name: "arms", rows, columns: [column("arm"), column("model"), column("router"), column("balance loss", "and coefficient"), column("z-loss", "coefficient"), column("capacity"), column("experts"), column("replay", "fraction"), column("size", "parameters"),
    column("active", "per token"), column("FLOPs", "per token"), column("tokens"), column("time", "per seed"), column(report.seeds > 1 ? "seeds" : "seed")] });
  [...view.querySelectorAll("tbody tr")].forEach((row, i) => {
    const style = groupStyle(report.groups[i]);
    const swatch = make("span", { class: "swatch", "aria-hidden": "true", "data-group": i, style: `border-color:${style.color}` });
    row.firstChild.prepend(swatch);
  });
  return view;
}

// Of a resolved [model], in words; null where an older file does not say.
function lossesAndCapacity({ balance, capacity }) {
  const terms = balance && Array.isArray(balance.loss) ? balance.loss.map((term) => `${term.loss} ${term.coefficient}`) : null;
  const factor = (key) => (isNumber(capacity[key]) ? ` × ${capacity[key]}` : "");
  const evaluated = capacity && capacity.factor_eval !== capacity.factor_train ? factor("factor_eval") : "";
  return { balance: terms && (terms.length > 0 ? terms.join(", ") : "none"),
    z: balance ? (balance.z_coefficient > 0 ? String(balance.z_coefficient) : "none") : null,
    capacity: capacity ? (capacity.rule === "none" ? "none" : `${capacity.rule}${factor("factor_train")}${evaluated && `, evaluation${evaluated}`}`) : null };
}

// What a phase replays: "english, fresh" of an earlier phase, or the names of sources.
function replaySource({ from, mode, data }) {
  return from ? `${from}, ${mode || "fresh"}` : (data || []).map((source) => source.name).join(", ");
}

// What a phase is trained by; older files say it in the recipe alone, or not at all.
function objectiveOf(done, phase) { return done.objective || (phase.objective && phase.objective.kind) || "causal"; }

// "Held-out sets that are not scored as causal text: held (ul2)."; nothing where all are.
function scoredByWords(report) {
  const others = new Map(report.arms.flatMap((arm) => Object.entries(arm.scored_by || {})).filter(([, objective]) => objective !== "causal"));
  const names = [...others].map(([name, objective]) => `${name} (${objective})`);
  return names.length > 0 ? `Held-out sets that are not scored as causal text: ${list(names)}; losses by different objectives do not compare.` : "";
}

// The shares of scored tokens and of padding differ a little from seed to seed: a row has their means.
function phaseRows(report) {
  const seen = new Map();
  for (const arm of report.arms) {
    (arm.resolved.phase || []).forEach((phase, i) => {
      const done = arm.phases[i] || {};
      const schedule = phase.schedule || {};
      const replay = phase.replay && isNumber(phase.replay.fraction) ? phase.replay.fraction : 0;
      const row = [phase.name, (phase.data || []).map((source) => source.name).join(", "), objectiveOf(done, phase), replay, done.replayed ?? null, replay > 0 ? replaySource(phase.replay) : null, done.steps ?? phase.steps ?? null, done.tokens ?? null,
        [schedule.kind, [schedule.lr_max, schedule.lr_min].filter(isNumber).map((rate) => String(Number(rate.toPrecision(3)))).join(" to ")].filter((word) => word).join(", ")];
      const key = JSON.stringify(row);
      if (!seen.has(key)) seen.set(key, { row, groups: [], scored: [], padding: [] });
      const entry = seen.get(key);
      entry.groups.push(arm.group);
      if (isNumber(done.scored_share)) entry.scored.push(done.scored_share);
      if (isNumber(done.padding_share)) entry.padding.push(done.padding_share);
    });
  }
  const entries = [...seen.values()];
  const hasShares = entries.some(({ scored, padding }) => scored.some((share) => share < 1) || padding.some((share) => share > 0));
  const shares = ({ scored, padding }) => (hasShares ? [scored, padding].map((values) => (values.length > 0 ? mean(values) : null)) : []);
  const rows = entries.map((entry) => [...entry.row, ...shares(entry), unique(entry.groups).length === report.groups.length ? "all" : unique(entry.groups).join(", ")]);
  const names = [["phase"], ["data"], ["objective"], ["replay", "fraction asked"], ["replayed", "fraction drawn"], ["replay of"], ["steps"], ["tokens", hasShares ? "padding and replayed ones too" : "replayed ones too"], ["learning rate"],
    ...(hasShares ? [["scored", "of the tokens without padding"], ["padding", "of all tokens"]] : []), ["arms"]];
  return { name: "phases", rows, columns: names.map(([name, unit]) => ({ name, unit })) };
}

// The arm filter in the sidebar: the keyboard's way to what a click on a legend does, for all charts.
function addArmFilter(report) {
  if (report.groups.length < 2) return;
  const filter = document.getElementById("arm-filter");
  filter.hidden = false;
  filter.open = innerWidth > 1000;
  const boxes = report.groups.map((group) => make("label", {}, make("input", { type: "checkbox", checked: true, id: `arm-${group.index}`,
    onchange: (event) => showArms(report, (other) => (other === group ? event.target.checked : !hiddenGroups.has(other.index))),
    onalone: () => { const isAlone = hiddenGroups.size === report.groups.length - 1 && !hiddenGroups.has(group.index); showArms(report, (other) => isAlone || other === group); } }), make("span", { class: "swatch", "aria-hidden": "true", "data-group": group.index }), group.name));
  filter.querySelector("fieldset").append(...boxes);
  keepInAddress({ parts: () => (hiddenGroups.size === 0 ? [] : [["hidden", report.groups.filter(({ index }) => hiddenGroups.has(index)).map(({ name }) => encodeURIComponent(name)).join(",")]]),
    take: (wanted) => { const hidden = (wanted.hidden || "").split(",").map(decoded); showArms(report, ({ name }) => !hidden.includes(name)); } });
}

// Shows the arms that `isShown` names, in the boxes, the charts and the address.
function showArms(report, isShown) {
  const hidden = report.groups.filter((group) => !isShown(group)).map(({ index }) => index);
  const isSame = hidden.length === hiddenGroups.size && hidden.every((index) => hiddenGroups.has(index));
  hiddenGroups.clear();
  for (const index of hidden) hiddenGroups.add(index);
  for (const { index } of report.groups) document.getElementById(`arm-${index}`).checked = !hiddenGroups.has(index);
  if (isSame) return;
  keepAddress();
  drawAll();
}

function paintSwatches(report) {
  for (const swatch of document.querySelectorAll(".swatch[data-group]")) {
    const style = groupStyle(report.groups[Number(swatch.dataset.group)]);
    swatch.style.borderColor = style.color;
    swatch.style.borderTopStyle = style.dash === "solid" ? "solid" : style.dash === "dot" ? "dotted" : "dashed";
  }
}
