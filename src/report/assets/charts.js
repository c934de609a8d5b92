// The registry of charts: each is drawn from `build`, and drawn again when the theme, the width
// or the arms shown change. build(width) returns {data, layout, height}, or null without data.

const charts = new Map();
const hiddenGroups = new Set();
const kNarrow = 640;

// A chart is there when `isThere` says so, otherwise when it has something to draw at once. One that has nothing for
// what is chosen later says `empty` in its place. `build` may return a `note`, which then ends the caption.
function addChart(parent, { id, title, caption, controls, missing, empty = "Nothing to draw for this choice.", isThere, build }) {
  const probe = isThere ? null : build(1000);
  if (isThere ? !isThere() : probe === null || probe.data.length === 0) {
    if (missing) addNote(parent, missing);
    return null;
  }
  const host = make("div", { class: "chart", id: `chart-${id}`, role: "img", "aria-label": `${title}. ${caption}` });
  const captionHost = make("figcaption", {}, caption);
  const figure = make("figure", { id: `figure-${id}` }, make("div", { class: "chart-head" }, make("h3", {}, title), chartTools(id, title)),
    controls ? make("div", { class: "controls" }, ...controls) : null, host, captionHost);
  host.style.height = `${(probe && probe.height) || 360}px`;
  parent.append(figure);
  charts.set(id, { host, build, title, caption, captionHost, empty });
  return figure;
}

function drawChart(id) {
  const chart = charts.get(id);
  if (!chart) return;
  const width = chart.host.clientWidth || 800;
  cutNames.clear();
  const built = chart.build(width);
  chart.captionHost.textContent = keptTogether([chart.caption, built && built.note, built && coincidenceNote(built), cutNote()].filter((part) => part).join(" "));
  if (built === null) {
    Plotly.purge(chart.host);
    chart.followed = false;
    chart.host.replaceChildren(make("p", { class: "note" }, chart.empty));
    chart.host.style.height = "auto";
    return;
  }
  if (chart.host.querySelector(".note")) chart.host.replaceChildren();
  const layout = pageLayout(built, width);
  chart.host.style.height = `${layout.height}px`;  // Plotly takes the host's height when the window changes
  Plotly.react(chart.host, built.data, layout, {
    displaylogo: false, responsive: true, displayModeBar: width < kNarrow ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "toImage"],
  });
  followLegend(chart);
}

// A click on an arm in a legend is that on its box in the sidebar: for all charts, and kept in the address. A second click
// soon after shows this arm alone, or all again.
function followLegend(chart) {
  if (chart.followed) return;
  chart.followed = true;
  const armOf = ({ curveNumber, fullData }) => document.getElementById(`arm-${/^group-(\d+)$/.exec(fullData[curveNumber].legendgroup)?.[1]}`);
  chart.host.on("plotly_legendclick", (event) => {
    const box = armOf(event);
    if (box) box.click();
    return box === null;
  });
  chart.host.on("plotly_legenddoubleclick", (event) => {
    const box = armOf(event);
    if (box) box.dispatchEvent(new Event("alone"));
    return box === null;
  });
}

function drawAll() { for (const id of charts.keys()) drawChart(id); }

// The first drawing gives the browser a breath between charts, so that the text shows at once.
async function drawFirst() {
  for (const id of charts.keys()) {
    drawChart(id);
    await new Promise((next) => setTimeout(next, 0));
  }
  document.documentElement.dataset.ready = "true";
}

function followWidth() {
  let narrow = innerWidth < kNarrow;
  let waiting = null;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if ((innerWidth < kNarrow) !== narrow) drawAll();
      narrow = innerWidth < kNarrow;
    }, 150);
  });
}

// The layout that every chart shares: the page's colours and type, room for a legend below.
function pageLayout({ data, layout, height = 360 }, width) {
  const narrow = width < kNarrow;
  const legend = legendRoom(data, width);
  const result = {
    height: height + legend, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 13 : 14, color: themeColor("ink") },
    margin: { l: narrow ? 52 : 64, r: narrow ? 10 : 18, t: 26, b: 48 + legend, pad: 2 },
    hoverlabel: { bgcolor: themeColor("panel"), bordercolor: themeColor("line"), font: { color: themeColor("ink"), size: 13 } },
    legend: { orientation: "h", x: 0, y: 0, yref: "container", yanchor: "bottom", bgcolor: "rgba(0,0,0,0)", itemwidth: 30 },
    showlegend: legend > 0, dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", uirevision: "page",
    ...layout,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: themeColor("soft"), activecolor: themeColor("accent") },
  };
  if (layout.margin) result.margin = { l: narrow ? 52 : 64, r: narrow ? 10 : 18, t: 26, b: 48 + legend, pad: 2, ...layout.margin };
  const room = { x: (width - 90) / ((layout.grid || {}).columns || 1), y: Infinity };  // px for a title
  for (const key of Object.keys(result)) {
    if (/^[xy]axis\d*$/.test(key)) result[key] = themedAxis(result[key], room[key[0]]);
  }
  return result;
}

function themedAxis(axis, room) {
  const soft = themeColor("soft");
  return { gridcolor: themeColor("grid"), zerolinecolor: themeColor("line"), linecolor: themeColor("line"), automargin: true, ...axis,
    tickfont: { color: soft, ...axis.tickfont }, title: axis.title ? { text: onTwoLines(axis.title, room / 7.2), font: { size: 14, color: soft }, standoff: 8 } : undefined };
}

// A text that is too long for a line, broken at the space nearest to its middle.
function onTwoLines(text, longest) {
  if (text.length <= longest) return text;
  const spaces = [...text].flatMap((sign, i) => (sign === " " ? [i] : []));
  const middle = spaces.sort((a, b) => Math.abs(a - text.length / 2) - Math.abs(b - text.length / 2))[0];
  return middle === undefined ? text : `${text.slice(0, middle)}<br>${text.slice(middle + 1)}`;
}

// Height that a horizontal legend takes below a plot of this width: its entries fill rows in turn.
function legendRoom(data, width) {
  const names = data.filter((trace) => trace.showlegend !== false && trace.name).map((trace) => trace.name);
  if (names.length < 2) return 0;
  const linesOf = (name) => name.split("<br>");
  const lineHeight = 17 * Math.max(...names.map((name) => linesOf(name).length)) + 4;
  let rows = 1;
  let used = 0;
  for (const name of names) {
    const entry = Math.max(...linesOf(name).map((line) => line.length)) * 7.4 + 48;
    if (used > 0 && used + entry > width - 80) { rows += 1; used = 0; }
    used += entry;
  }
  return rows * lineHeight + 8;
}

// The grid of n panels, at most `most` side by side, one column where it is narrow; suffix(i) names the axes of panel i.
function panelGrid(n, width, most = 2) {
  const columns = width < kNarrow ? 1 : Math.min(most, n);
  return { columns, rows: Math.ceil(n / columns), suffix: (i) => (i === 0 ? "" : String(i + 1)) };
}

// Small multiples: n panels of `panelHeight` in one figure, on that grid; titles stand above the panels.
function panels(names, width, panelHeight, most = 2) {
  const { columns, rows, suffix } = panelGrid(names.length, width, most);
  const gap = 80;  // px between rows of panels at least: ticks and title of an axis, and the name of the panel below
  const cell = rows > 1 ? panelHeight + Math.max(0, gap - 0.3 * panelHeight) : panelHeight;
  return {
    columns, rows, height: rows * cell + 70, suffix,
    grid: { rows, columns, pattern: "independent", xgap: columns > 2 ? 0.06 : columns > 1 ? 0.14 : 0, ygap: rows > 1 ? Math.max(0.3, gap / cell) : 0 },
    annotations: names.map((name, i) => ({ text: `<b>${chartText(name)}</b>`, showarrow: false, x: 0, y: 1, yshift: 4,
      xref: `x${suffix(i)} domain`, yref: `y${suffix(i)} domain`, xanchor: "left", yanchor: "bottom", font: { size: 14 } })),
  };
}

// What a figure can be, [least, most]: its error bars and bands end there, whatever the spread.
const kNoLimits = [-Infinity, Infinity];
const kShareLimits = [0, 1];

// Bars of ± the error of figures ({ mean, std } or null) within limits.
function errorBars(figures, { limits = kNoLimits, color = themeColor("soft"), visible = true } = {}) {
  const bars = (room) => figures.map((figure) => (figure ? Math.max(0, Math.min(figure.std, room(figure.mean))) : 0));
  return { type: "data", symmetric: false, array: bars((value) => limits[1] - value), arrayminus: bars((value) => value - limits[0]), visible, color, thickness: 1.3, width: 3 };
}

// The line of a group, and the band of its error to each side (errorOver) where it has several seeds.
// `panel` is the panel's axis suffix; names in `meta` tell what is plotted.
function groupLine(group, series, { panel = "", showlegend = true, meta = {}, markers = false, width = 2.2, over = "step", limits = kNoLimits } = {}) {
  const style = groupStyle(group);
  const shared = { type: "scatter", legendgroup: `group-${group.index}`, xaxis: `x${panel}`, yaxis: `y${panel}`,
    visible: hiddenGroups.has(group.index) ? "legendonly" : true };
  const line = { ...shared, name: legendName(group.name), x: series.x, y: series.y, showlegend,
    mode: markers ? "lines+markers" : "lines", line: { color: style.color, dash: style.dash, width },
    marker: { color: style.color, symbol: style.symbol, size: 7 }, meta: { role: "line", group: group.name, ...meta },
    rows: series.x.map((x, i) => figureRow({ arm: group.name, ...lineLabels(meta), [over]: x }, { mean: series.y[i], std: series.std[i], n: series.counts[i] })) };
  if (series.n < 2) return series.std.some((error) => error > 0) ? [{ ...line, error_y: { type: "data", array: series.std, color: style.color, thickness: 1.3, width: 3 } }] : [line];
  const up = series.y.map((y, i) => Math.min(y + series.std[i], limits[1]));
  const down = series.y.map((y, i) => Math.max(y - series.std[i], limits[0]));
  const band = { ...shared, x: [...series.x, ...[...series.x].reverse()], y: [...up, ...down.reverse()], fill: "toself",
    fillcolor: `${style.color}2e`, line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false,
    meta: { role: "band", group: group.name, ...meta } };
  return [band, line];
}

function lineLabels({ data, layer, figure }) {
  return { ...(data === undefined ? {} : { "data set": data }), ...(layer === undefined ? {} : { layer }), figure: figure === undefined ? "loss" : figure === "mri" ? "MRI" : plain(figure) };
}

// The vertical lines at the borders between the phases of these arms, with the name of the phase that begins: of one line above the chart; of several,
// and on one of several panels, which have their own names there, inside of it, each a row lower. Near the right end a name stands left of its line.
function shiftMarks(arms, unit, suffix = null) {
  const panel = suffix ?? "";
  const borders = arms.flatMap((arm) => arm.borders);
  const place = (border) => (unit === "tokens" ? border.tokens : border.step + 0.5);
  const end = Math.max(0, ...arms.map((arm) => (arm.steps.length > 0 ? (unit === "tokens" ? arm.steps.at(-1).tokens : arm.steps.at(-1).step) : 0)));
  const marks = { shapes: [], annotations: [] };
  const places = unique(borders.map(place)).sort((a, b) => a - b);
  const isInside = suffix !== null || places.length > 1;
  for (const [i, at] of places.entries()) {
    const names = unique(borders.filter((border) => place(border) === at).map((border) => border.to));
    const isLeft = at > 0.7 * end && places.length > 1;
    marks.shapes.push({ type: "line", x0: at, x1: at, y0: 0, y1: 1, xref: `x${panel}`, yref: `y${panel} domain`, layer: "below",
      line: { color: themeColor("mark"), width: 1.5, dash: "dot" } });
    marks.annotations.push({ text: `${chartText(names.join(", "), 24)} →`, x: at, y: 1, xref: `x${panel}`, yref: `y${panel} domain`,
      showarrow: false, xanchor: isLeft ? "right" : "left", yanchor: isInside ? "top" : "bottom", xshift: isLeft ? -4 : 4, yshift: -17 * (i % 8), font: { color: themeColor("mark"), size: 13 } });
  }
  return marks;
}

// One tick for each of n things that are counted, experts or layers, where their numbers have room; without it few of them get ticks at halves.
function countTicks(n, width) { return n <= (width < kNarrow ? 8 : 16) ? 1 : undefined; }

// Dashed lines across a chart at some levels, [[value, name]], lowest first, with their names: outside of the plot where there is room, else in the
// legend, where no other line crosses them.
function addLevels(data, layout, levels, width) {
  const line = { color: themeColor("soft"), width: 1.5, dash: "dash" };
  layout.shapes = [...(layout.shapes || []), ...levels.map(([y]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, layer: "below", line }))];
  if (width < kNarrow) {
    data.push(...levels.map(([, name]) => ({ type: "scatter", mode: "lines", name, x: [null], y: [null], hoverinfo: "skip", line, meta: { role: "level" } })));
    return;
  }
  if (levels.length > 0) layout.margin = { ...layout.margin, r: 14 + 8 * Math.max(...levels.map(([, name]) => name.length)) };
  layout.annotations = [...(layout.annotations || []), ...levels.map(([y, text], i) => ({ xref: "paper", x: 1, y, yref: "y", text, showarrow: false, xanchor: "left", xshift: 4,
    yanchor: levels.length === 1 ? "middle" : i > 0 ? "bottom" : "top", font: { color: themeColor("soft"), size: 12 } }))];
}

// Rows of named groups, first on top; plotted at 0, -1, … so that equal or odd names cannot clash. A long name takes up to three lines.
function groupRows(groups, width) {
  return { tickvals: groups.map((_, i) => -i), ticktext: groups.map((group) => rowName(group, width)),
    range: [-groups.length + 0.4, 0.6], zeroline: false, automargin: true };
}

function rowName(group, width) { return wrappedName(group.name, width < 420 ? 16 : width < kNarrow ? 22 : 30); }

// px from row to row: `least`, or what the names take.
function rowPitch(groups, width, least) {
  const lines = Math.max(1, ...groups.map((group) => rowName(group, width).split("<br>").length));
  return Math.max(least, lines > 1 ? 18 * lines + 6 : 0);
}

// Labels beside points: of those that would lie on each other the first stays. `width` and `height`: of the plot, px, that the points fill.
// True where one was left out; the hover text of its point has it.
function thinLabels(traces, width, height) {
  const points = traces.flatMap((trace) => trace.x.map((x, i) => ({ trace, i, x, y: trace.y[i], text: trace.text[i].trim() })));
  const scale = (key) => {
    const values = points.map((point) => point[key]);
    return [Math.min(...values), Math.max(...values) - Math.min(...values) || 1];
  };
  const [[x0, dx], [y0, dy]] = [scale("x"), scale("y")];
  const kept = [];
  const labelled = points.filter(({ text }) => text !== "");
  for (const { trace, i, x, y, text } of labelled) {
    const long = 8 * text.length + 4;
    const at = ((x - x0) / dx) * width;
    const left = String(trace.textposition).endsWith("left") ? at - long - 6 : at + 6;
    const box = { left, right: left + long, y: ((y - y0) / dy) * height };
    if (kept.some((other) => other.left < box.right && box.left < other.right && Math.abs(other.y - box.y) < 17)) trace.text[i] = ""; else kept.push(box);
  }
  return kept.length < labelled.length;
}

const kThinned = "Labels that would lie on each other are left out; each point's hover text has its own.";

function visibleGroups(groups) { return groups.filter((group) => !hiddenGroups.has(group.index)); }
