// Light and dark, for the page and for the charts alike.

// Distinguishable with the common colour-vision deficiencies (after Okabe and Ito); entry 0 is
// for dense arms, entry i is the same arm in both themes.
const kColors = {
  light: ["#4a4f57", "#3b9bd6", "#005a9c", "#cf5200", "#00875f", "#dd9200", "#bd5f97", "#7a4a1f"],
  dark: ["#c3c9d1", "#8fd0fb", "#4b97e0", "#ff7d3b", "#2fc79a", "#f3bd4e", "#e79ac8", "#c39a6b"],
};
const kDashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const kSymbols = ["circle", "diamond", "square", "triangle-up", "x", "star"];

function isDark() { return document.documentElement.dataset.theme === "dark"; }

function themeColor(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function groupStyle(group) {
  return { color: kColors[isDark() ? "dark" : "light"][group.color], dash: kDashes[group.variant % kDashes.length],
    symbol: kSymbols[group.variant % kSymbols.length] };
}

// Ordered colours for layers, from the accent's dark end to its light one.
function layerColors(count) {
  const ramp = isDark() ? ["#5b8dd6", "#6fd0c0", "#f2e27a"] : ["#2b2f77", "#1d8a8a", "#b5a300"];
  return Array.from({ length: count }, (_, i) => mixRamp(ramp, count > 1 ? i / (count - 1) : 0));
}

function mixRamp(ramp, at) {
  const position = at * (ramp.length - 1);
  const index = Math.min(Math.floor(position), ramp.length - 2);
  const channel = (color, i) => parseInt(color.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mixed = [0, 1, 2].map((i) => Math.round(channel(ramp[index], i)
    + (position - index) * (channel(ramp[index + 1], i) - channel(ramp[index], i))));
  return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

// Low is the panel's own colour, so a uniform load recedes and a hot expert stands out.
function loadScale() {
  return isDark()
    ? [[0, "#1a2029"], [0.15, "#223a5c"], [0.35, "#2f6f9f"], [0.6, "#4fb3a9"], [0.8, "#d9d46a"], [1, "#fff3c4"]]
    : [[0, "#ffffff"], [0.15, "#dbe7ee"], [0.35, "#86bcd0"], [0.6, "#2f7fa6"], [0.8, "#1d4b82"], [1, "#1a1a4d"]];
}

// Blue: better than before; red-brown: worse; the panel's colour: no change.
function changeScale() {
  return isDark()
    ? [[0, "#2c69a8"], [0.5, "#1a2029"], [1, "#a84c1c"]]
    : [[0, "#5aa7d6"], [0.5, "#ffffff"], [1, "#e58a4e"]];
}

function storedTheme() {
  try { return localStorage.getItem("evenkeel-theme"); } catch { return null; }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme-toggle");
  button.setAttribute("aria-pressed", String(theme === "dark"));
}

// What `compute` makes of the light theme's colours; nothing is painted in between.
function inLightTheme(compute) {
  const page = document.documentElement.dataset;
  const theme = page.theme;
  page.theme = "light";
  try {
    return compute();
  } finally {
    page.theme = theme;
  }
}

// The reader's choice wins over the system's; `redraw` runs after every change.
function startTheme(redraw) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const choose = () => storedTheme() || (system.matches ? "dark" : "light");
  setTheme(choose());
  system.addEventListener("change", () => { setTheme(choose()); redraw(); });
  document.getElementById("theme-toggle").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("evenkeel-theme", theme); } catch { /* private mode: the choice lasts for this view */ }
    setTheme(theme);
    redraw();
  });
  const unlessChart = (paint) => () => { if (!isPrintingChart()) { paint(); redraw(); } };  // a chart alone brings its own colours
  addEventListener("beforeprint", unlessChart(() => { document.documentElement.dataset.theme = "light"; }));
  addEventListener("afterprint", unlessChart(() => setTheme(choose())));
}
