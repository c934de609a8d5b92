// What the checks of the runs found, from the table `warnings` of the results, and what a recipe left unsaid: notices under the answers, collapses first.

const kCollapses = ["same_experts", "one_expert", "unused_experts", "no_scores"];
const kShownWarnings = 6;

// One entry for each finding of an arm in a phase, or on a held-out set `data` at its evaluations: {arm, phase, kind, what, data, nArms, nRecovered,
// places: [{step, layer}]}. nArms > 1: that share the phase; nRecovered: the fewest of them that have recovered at one of the places.
function warningEntries(report) {
  const table = report.tables.get("warnings");
  const entries = new Map();
  for (const { arm, phase, step, layer, kind, what, recovered, n_arms: nArms = 1, data = null, n_recovered: n = null } of table ? table.records : []) {
    const nRecovered = n ?? (recovered === true ? nArms : 0);
    const key = JSON.stringify([arm, phase, kind, what, data, nArms]);
    if (!entries.has(key)) entries.set(key, { arm, phase, kind, what, data, nArms, nRecovered, places: [] });
    const entry = entries.get(key);
    entry.places.push({ step, layer });
    entry.nRecovered = Math.min(entry.nRecovered, nRecovered);
    entry.lasts = entry.nRecovered < nArms;
  }
  const rank = ({ kind, lasts }) => (kCollapses.includes(kind) ? 0 : 2) + (lasts ? 0 : 1);
  return [...entries.values()].sort((a, b) => rank(a) - rank(b));
}

// "step 131, layers 0 and 2; step 140, layer 1".
function warningPlaces(places) {
  return unique(places.map(({ step }) => step)).map((step) => {
    const layers = places.filter((place) => place.step === step && place.layer !== null).map(({ layer }) => String(layer));
    return `step ${formatNumber(step)}${layers.length === 0 ? "" : `, ${layers.length === 1 ? "layer" : "layers"} ${list(layers)}`}`;
  }).join("; ");
}

// What the study's recipe left unsaid, from the table `recipe_warnings`: a notice of its own, one line for the arms of which the same is said.
function recipeNotice(report) {
  const { records } = report.tables.get("recipe_warnings") || { records: [] };
  if (records.length === 0) return null;
  const groups = (text) => records.filter(({ what }) => what === text).map(({ group }) => group);
  return make("aside", { class: "warnings", id: "recipe-warnings", "aria-labelledby": "recipe-warnings-title" },
    make("p", { class: "warnings-title", id: "recipe-warnings-title" }, "Warnings of the recipe"),
    make("ul", {}, ...unique(records.map(({ what }) => what)).map((what) => make("li", {}, make("strong", {}, list(groups(what))), `: ${what}`))));
}

function warningsNotice(report) {
  const entries = warningEntries(report);
  if (entries.length === 0) return null;
  const place = ({ arm, phase, nArms }) => (nArms > 1 ? [make("strong", {}, `phase ${phase}`), `, which ${nArms} arms share (trained once, in ${arm})`] : [make("strong", {}, arm), `, phase ${phase}`]);
  const over = ({ kind, lasts, nArms, nRecovered }) => (!kCollapses.includes(kind) || nRecovered === 0 ? "" : lasts ? `, for a time in ${nRecovered} of ${nArms} arms` : ", for a time");
  const item = (entry) => make("li", { "data-kind": entry.kind }, ...place(entry), entry.data === null ? null : `, held-out ${entry.data}`,
    `, ${warningPlaces(entry.places)}${over(entry)}: ${entry.what}`);
  const more = entries.slice(kShownWarnings);
  const lasting = entries.filter(({ kind, lasts }) => lasts && kCollapses.includes(kind));
  const arms = unique(lasting.filter(({ nArms }) => nArms === 1).map(({ arm }) => arm));
  const shared = unique(lasting.filter(({ nArms }) => nArms > 1).map(({ phase }) => phase));
  const title = [...(arms.length > 0 ? [`the ${arms.length > 1 ? "routers" : "router"} of ${list(arms)} ${arms.length > 1 ? "have" : "has"} collapsed`] : []),
    ...(shared.length > 0 ? [`routers have collapsed in ${shared.length > 1 ? "phases" : "phase"} ${list(shared)}, which arms share`] : [])];
  return make("aside", { class: "warnings", id: "warnings", "aria-labelledby": "warnings-title" },
    make("p", { class: "warnings-title", id: "warnings-title" }, title.length > 0 ? `Warnings: ${title.join("; ")}` : "Warnings of the checks"),
    make("ul", {}, ...entries.slice(0, kShownWarnings).map(item)),
    more.length === 0 ? null : make("details", {}, make("summary", {}, `${more.length} more`), make("ul", {}, ...more.map(item))));
}
