// What the eye misses in a chart, in words below it: lines that lie on each other, and names that were cut.

const kLineRoles = ["line", "layer", "layer-line", "step-line", "saturation"];
const kMostNamed = 8;

function coincidenceNote({ data, layout }) {
  const lines = data.filter((trace) => trace.meta && kLineRoles.includes(trace.meta.role) && trace.visible !== "legendonly" && trace.name && trace.x.length > 1);
  const panels = unique(lines.map((line) => line.xaxis || "x"));
  const said = new Map();
  for (const panel of panels) {
    const inPanel = lines.filter((line) => (line.xaxis || "x") === panel);
    const words = coincidences(inPanel, axisWord(layout, "x", inPanel[0])).join("; ");
    if (words !== "") said.set(words, [...(said.get(words) || []), inPanel[0].meta.data]);
  }
  return [...said].map(([words, names]) => `Lines that lie on each other${names.length < panels.length ? ` (${list(names)})` : ""}: ${words}.`).join(" ");
}

// ["a and b throughout", "c, d and e up to step 128", …]
function coincidences(lines, xWord) {
  const values = lines.flatMap((line) => line.y.filter(isNumber));
  const tolerance = (Math.max(...values) - Math.min(...values)) / 500;  // less than the width of a line
  const classes = [];  // of lines that are the same throughout
  for (const line of lines) {
    const same = classes.find(([first]) => first.x.length === line.x.length && line.x.every((x, i) => x === first.x[i] && Math.abs(line.y[i] - first.y[i]) <= tolerance));
    if (same) same.push(line); else classes.push([line]);
  }
  const out = classes.filter((members) => members.length > 1).map((members) => `${namesOf(members)} throughout`);
  for (const [x, sets] of sharedBeginnings(classes)) {
    for (const members of sets) out.push(`${namesOf(members)} up to ${xWord.startsWith("tokens") ? `${formatLarge(x)} tokens` : `${xWord} ${formatNumber(x)}`}`);
  }
  return out;
}

// Lines that are the same to the bit at first and part later: the last x where they are, and the sets that part there.
function sharedBeginnings(classes) {
  const pairs = new Map();
  classes.forEach((one, i) => classes.slice(i + 1).forEach((other) => {
    const [a, b] = [one[0], other[0]];
    let n = 0;
    while (n < a.x.length && n < b.x.length && a.x[n] === b.x[n] && a.y[n] === b.y[n]) n += 1;
    if (n < Math.max(2, 0.05 * Math.max(a.x.length, b.x.length))) return;
    const sets = pairs.get(a.x[n - 1]) || [];
    const touched = sets.filter((set) => set.has(one) || set.has(other));
    pairs.set(a.x[n - 1], [...sets.filter((set) => !touched.includes(set)), new Set([one, other, ...touched.flatMap((set) => [...set])])]);
  }));
  return [...pairs].sort((a, b) => b[0] - a[0]).map(([x, sets]) => [x, sets.map((set) => classes.filter((members) => set.has(members)).flat())]);
}

function namesOf(lines) {
  const names = unique(lines.map((line) => line.meta.group ?? plainText(line.name)));
  return names.length > kMostNamed ? `${names.slice(0, kMostNamed).join(", ")} and ${names.length - kMostNamed} more` : list(names);
}

// A name as it was before chartText made it safe.
function plainText(text) {
  const signs = { "&lt;": "<", "&gt;": ">", "&#37;": "%", "&amp;": "&" };
  return text.replaceAll("<br>", " · ").replace(/&(lt|gt|#37|amp);/g, (sign) => signs[sign]);
}

// Names that the last drawing had no room for, whole.
const cutNames = new Set();

function cutNote() { return cutNames.size === 0 ? "" : `Names in full: ${[...cutNames].join("; ")}.`; }
