// Reads the page's data and gives it a shape that the charts share.
//
// report = {title, kind, results, runs, arms, groups, tables, dataSets, oldData, newData, analyses}
// arm    = results.arms[i] + {steps, evals, saturation, resolved, recipe, group, isMoe, borders, shift}
// group  = arms that differ by seed only: {index, name, arms, family, variant, color, isMoe}
// border = {step, tokens, from, to}: the last step of a phase that another follows; shift: the first of them, null with one phase

function readReport(raw) {
  const results = raw.results || {};
  const runs = raw.runs || {};
  const report = { title: raw.title || results.title || "evenkeel", kind: raw.kind || results.kind, results, runs };
  report.analyses = (raw.analyses || []).map(readAnalysis);
  report.tables = readTables(results.tables || {});
  report.arms = (results.arms || []).map((arm) => readArm(arm, Object.hasOwn(runs, arm.name) ? runs[arm.name] : {}, raw.columns || []));
  report.groups = readGroups(report.arms);
  report.dataSets = unique(report.arms.flatMap((arm) => arm.evals.flatMap((line) => Object.keys(line.eval))));
  Object.assign(report, oldAndNewSets(report.arms));
  report.seeds = Math.max(1, ...report.groups.map((group) => group.arms.length));
  return report;
}

// An analysis has its own tables; `pairs` and `changes` are counts that only its CSV has, as columns of numbers.
function readAnalysis({ name, results, pairs, changes }) {
  return { name, results, tables: readTables(results.tables || {}), pairs: rowsOf(pairs), changes: rowsOf(changes) };
}

function rowsOf(columns) {
  const entries = Object.entries(columns || {});
  return entries.length === 0 ? [] : entries[0][1].map((_, i) => Object.fromEntries(entries.map(([key, values]) => [key, values[i]])));
}

// Each table gets `records`: its rows as objects keyed by column name.
function readTables(tables) {
  const read = new Map();
  for (const [name, table] of Object.entries(tables)) {
    const names = table.columns.map((column) => column.name);
    const records = table.rows.map((row) => Object.fromEntries(names.map((key, i) => [key, row[i]])));
    read.set(name, { ...table, name, records });
  }
  return read;
}

function readArm(arm, run, pool) {
  const phases = arm.phases || [];
  const steps = readSteps(run, pool);
  const read = { ...arm, phases, steps, lr_curve: readColumn(arm.lr_curve || [], pool), evals: run.evals || [], saturation: run.saturation || [], stride: run.stride || 1,
    resolved: run.resolved || {}, recipe: run.recipe || "" };
  read.group = arm.group || arm.name;
  read.isMoe = steps.some((line) => line.routing.length > 0);
  read.borders = bordersOf(phases, steps);
  read.shift = read.borders[0] || null;
  return read;
}

// Those between the phases that have begun. Of a thinned run the page need not have the step, of which the phases say the tokens.
function bordersOf(phases, steps) {
  const borders = [];
  let tokens = 0;
  for (const [i, phase] of phases.slice(0, -1).entries()) {
    tokens += phase.tokens;
    if (!isNumber(phase.last_step)) break;
    const line = steps.find((candidate) => candidate.step === phase.last_step);
    borders.push({ step: phase.last_step, tokens: line ? line.tokens : tokens, from: phase.name, to: phases[i + 1].name });
  }
  return borders;
}

// Whether an arm has more than one, so that there is no such thing as the shift.
function hasBorders(arms) { return arms.some((arm) => arm.borders.length > 1); }

// Of long runs one step in so many is on the page.
function strides(report) { return unique(report.arms.map((arm) => arm.stride).filter((stride) => stride > 1)).sort((a, b) => a - b); }
function strideNote(report) {
  const thinned = strides(report);
  return thinned.length === 0 ? "" : ` Of long runs one step in ${thinned.join(" or ")} is drawn; the tables rest on every step.`;
}

function readGroups(arms) {
  const groups = [];
  const variants = new Map();
  for (const name of unique(arms.map((arm) => arm.group))) {
    const members = arms.filter((arm) => arm.group === name);
    const family = `${members[0].model}|${members[0].router}`;
    const variant = variants.get(family) || 0;
    variants.set(family, variant + 1);
    groups.push({ index: groups.length, name, arms: members, family, variant,
      isMoe: members.some((arm) => arm.isMoe), model: members[0].model });
  }
  assignColors(groups);
  return groups;
}

// Colour 0 is for dense arms. Up to seven other groups have a colour each; beyond that the
// groups of a family (model and router) share one and differ by dash and symbol.
function assignColors(groups) {
  const others = groups.filter((group) => group.model !== "dense");
  const byGroup = others.length < kColors.light.length;
  const keys = unique(others.map((group) => (byGroup ? group.name : group.family)));
  for (const group of groups) {
    const key = keys.indexOf(byGroup ? group.name : group.family);
    group.color = group.model === "dense" ? 0 : 1 + (key % (kColors.light.length - 1));
  }
}

// The held-out sets of the old and of the new data, as the results name them: those of the first arm whose data shift. Without such an
// arm nothing is new, and the old set is that of the first arm that has one.
function oldAndNewSets(arms) {
  const shifted = arms.find((arm) => arm.old_data && arm.new_data && arm.old_data !== arm.new_data);
  if (shifted) return { oldData: shifted.old_data, newData: shifted.new_data };
  const known = arms.find((arm) => arm.old_data);
  return { oldData: known ? known.old_data : null, newData: null };
}

// A figure of one line's routing: of a layer, or the mean over layers; null for a dense model.
function routingFigure(routing, layer, key) {
  const entries = layer === "mean" ? routing : routing.filter((entry) => entry.layer === layer);
  const values = entries.map((entry) => entry[key]).filter(isNumber);
  return values.length > 0 ? mean(values) : null;
}

function layersOf(arms) {
  return unique(arms.flatMap((arm) => {
    const line = arm.steps.find((step) => step.routing.length > 0);
    return line ? line.routing.map((entry) => entry.layer) : [];
  })).sort((a, b) => a - b);
}

// {mean, std, n} of [value, standard error] pairs, one a seed; null without a value.
function figureOf(pairs) {
  const known = pairs.filter(([value]) => isNumber(value));
  if (known.length === 0) return null;
  const values = known.map(([value]) => value);
  return { mean: mean(values), std: errorOver(sampleStd(values), known.map(([, error]) => error)), n: values.length };
}

// What stands after ±, as src/study/estimates.h has it for the headlines: the standard deviation over seeds, 0 of a single one, but no less than the
// mean of the standard errors by the text, of those that are known.
function errorOver(deviation, errors) {
  const known = errors.filter(isNumber);
  return Math.max(deviation, known.length > 0 ? mean(known) : 0);
}

// The same for each x of points(arm) = [[x, y], …] or [[x, y, standard error], …].
function groupSeries(group, points) {
  const pairs = new Map();
  for (const arm of group.arms) {
    for (const [x, y, error] of points(arm)) {
      if (!isNumber(y)) continue;
      if (!pairs.has(x)) pairs.set(x, []);
      pairs.get(x).push([y, error]);
    }
  }
  const x = [...pairs.keys()].sort((a, b) => a - b);
  const figures = x.map((key) => figureOf(pairs.get(key)));
  return { x, y: figures.map((figure) => figure.mean), std: figures.map((figure) => figure.std), counts: figures.map((figure) => figure.n), n: Math.max(0, ...figures.map((figure) => figure.n)) };
}

// The same for one figure of a table and its column of errors: records of the group's arms that satisfy `where`.
function groupFigure(report, group, tableName, figure, where) {
  const table = report.tables.get(tableName);
  if (!table) return null;
  const names = new Set(group.arms.map((arm) => arm.name));
  return figureOf(table.records.filter((record) => names.has(record.arm) && where(record)).map((record) => [record[figure], record[`${figure}_se`]]));
}

// What ± and bars of a loss are; "" where nothing is known.
function errorWords(report) {
  const known = report.arms.some((arm) => arm.evals.some((line) => Object.values(line.eval).some((figures) => isNumber(figures.loss_se))));
  if (report.seeds > 1) return `± 1 standard deviation over seeds${known ? ", no less than the standard error by the held-out text" : ""}${sharedStartWords(report)}`;
  return known ? "± 1 standard error, from the spread between blocks of neighbouring windows of the held-out text; another seed may differ by more" : "";
}

// To follow words on a spread over seeds: that it leaves out the training before, which the seeds of a group have in common.
function sharedStartWords(report) { return (report.results.comparison || {}).seeds_share_start ? " (which all continue the same weights)" : ""; }

// To follow the words "the dense arm": whether its training FLOPs a token are those of the others, from `comparison` of the results; "" where that is not there.
function flopAside(report) {
  const { flops_per_token: flops } = report.results.comparison || {};
  if (!flops) return "";
  return flops.matched ? ", of the same FLOPs a token" : `; FLOPs a token differ between the arms, up to ${(flops.most / flops.least).toFixed(2)} times`;
}

function unique(values) { return [...new Set(values)]; }
function isNumber(value) { return typeof value === "number" && Number.isFinite(value); }
function sum(values) { return values.reduce((total, value) => total + value, 0); }
function mean(values) { return sum(values) / values.length; }
function sampleStd(values) {
  if (values.length < 2) return 0;
  const center = mean(values);
  return Math.sqrt(sum(values.map((value) => (value - center) ** 2)) / (values.length - 1));
}
