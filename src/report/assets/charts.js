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

// A chart's picture and its figures, to take along.
function chartTools(id, title) {
  const tool = (name, label, onclick) => make("button", { type: "button", class: "tool", "aria-label": `${label} of ${title}`, onclick }, name);
  return make("div", { class: "chart-tools" },
    tool("PNG", "Picture", () => saveChartPicture(id)),
    tool("CSV", "Figures", () => downloadText(chartCsv(charts.get(id).host.data || []), `evenkeel-${id}.csv`)));
}

const kPictureHead = 70;  // px for the two lines above a saved chart

// The chart as it is drawn, for paper: in the light theme, opaque, under its title and what was chosen.
async function saveChartPicture(id) {
  const { host, build, title } = charts.get(id);
  const width = Math.max(900, host.clientWidth);
  const drawn = inLightTheme(() => {
    const built = build(width);
    return built && { built, layout: pageLayout(built, width), paper: themeColor("panel"), soft: themeColor("soft") };
  });
  if (!drawn) return;
  const { built, layout, paper, soft } = drawn;
  const context = chartText(chartContext(built.data), Math.floor(width / 8));
  Object.assign(layout, { paper_bgcolor: paper, plot_bgcolor: paper, height: layout.height + kPictureHead, margin: { ...layout.margin, t: (layout.margin.t ?? 26) + kPictureHead },
    title: { text: `<b>${chartText(title, 80)}</b><br><span style="font-size:14px;color:${soft}">${context}</span>`, font: { size: 19 }, x: 18 / width, xref: "container",
      y: 1 - 20 / (layout.height + kPictureHead), yref: "container", xanchor: "left", yanchor: "top" } });
  const address = await Plotly.toImage({ data: built.data, layout }, { format: "png", width, height: layout.height, scale: 2 });
  downloadAddress(address, `evenkeel-${id}.png`);
}

// Whose routing it is, and of which layer and data; without that, the page's title.
function chartContext(data) {
  const named = (key) => unique(data.map((trace) => (trace.meta || {})[key]).filter((value) => value !== undefined && value !== null));
  const models = named("model");
  const layers = named("layer");
  return [models.length > 0 ? models.join(", ") : document.title,
    layers.length === 1 ? (layers[0] === "mean" ? "mean over layers" : `layer ${layers[0]}`) : "",
    list(named("domain").slice(0, 6).map(String)), list(named("mode").map(plain))].filter((part) => part !== "").join(" · ");
}

// The plotted values, a row for each point, cell or flow, with the interval that is drawn. `records` of a trace are the
// rows of the table that its points were drawn from: their columns follow, with counts, chance levels and token texts.
function chartCsv(traces) {
  const points = traces.flatMap(tracePoints);
  const columns = unique(points.flatMap((point) => Object.keys(point.record || {})));
  return csvRows([["model", "series", "x", "y", "value", "low", "high", ...columns],
    ...points.map(({ model, series, x, y, value, low, high, record }) => [model, series, x, y, value, low, high, ...columns.map((column) => (record ? record[column] : null))])]);
}

function tracePoints(trace) {
  const common = { model: trace.meta && trace.meta.model, series: trace.name || (trace.meta && trace.meta.role) || "" };
  const record = (i) => (trace.records ? trace.records[i] : null);
  if (trace.type === "heatmap") {
    return trace.z.flatMap((line, i) => line.map((value, j) => ({ ...common, x: trace.x ? trace.x[j] : j, y: trace.y ? trace.y[i] : i, value, record: trace.records ? trace.records[i][j] : null })));
  }
  if (trace.type === "sankey") {
    return trace.link.value.map((value, i) => ({ ...common, x: trace.node.label[trace.link.source[i]], y: trace.node.label[trace.link.target[i]], value, record: record(i) }));
  }
  if (!trace.x || (trace.hoverinfo === "skip" && !trace.records)) return [];
  const [along, bar] = trace.error_y ? ["y", trace.error_y] : trace.error_x ? ["x", trace.error_x] : [null, null];
  const reach = (i, side) => (bar === null || !isNumber(trace[along][i]) || !isNumber((side || bar.array)[i]) ? null : (side || bar.array)[i]);
  return Array.from(trace.x).map((x, i) => {
    const down = reach(i, bar && bar.arrayminus);
    const up = reach(i, bar && bar.array);
    return { ...common, x, y: trace.y ? trace.y[i] : null, value: null, low: down === null ? null : trace[along][i] - down, high: up === null ? null : trace[along][i] + up, record: record(i) };
  });
}

function drawChart(id) {
  const chart = charts.get(id);
  if (!chart) return;
  const width = chart.host.clientWidth || 800;
  const built = chart.build(width);
  chart.captionHost.textContent = [chart.caption, built && built.note].filter((part) => part).join(" ");
  if (built === null) {
    Plotly.purge(chart.host);
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
  for (const key of Object.keys(result)) {
    if (/^[xy]axis\d*$/.test(key)) result[key] = themedAxis(result[key]);
  }
  return result;
}

function themedAxis(axis) {
  const soft = themeColor("soft");
  return { gridcolor: themeColor("grid"), zerolinecolor: themeColor("line"), linecolor: themeColor("line"), automargin: true, ...axis,
    tickfont: { color: soft, ...axis.tickfont }, title: axis.title ? { text: axis.title, font: { size: 14, color: soft }, standoff: 8 } : undefined };
}

// Height that a horizontal legend takes below a plot of this width: its entries fill rows in turn.
function legendRoom(data, width) {
  const names = data.filter((trace) => trace.showlegend !== false && trace.name).map((trace) => trace.name);
  if (names.length < 2) return 0;
  let rows = 1;
  let used = 0;
  for (const name of names) {
    const entry = name.length * 7.4 + 48;
    if (used > 0 && used + entry > width - 80) { rows += 1; used = 0; }
    used += entry;
  }
  return rows * 21 + 8;
}

// The grid of n panels, at most `most` side by side, one column where it is narrow; suffix(i) names the axes of panel i.
function panelGrid(n, width, most = 2) {
  const columns = width < kNarrow ? 1 : Math.min(most, n);
  return { columns, rows: Math.ceil(n / columns), suffix: (i) => (i === 0 ? "" : String(i + 1)) };
}

// Small multiples: n panels of `panelHeight` in one figure, on that grid; titles stand above the panels.
function panels(names, width, panelHeight, most = 2) {
  const { columns, rows, suffix } = panelGrid(names.length, width, most);
  return {
    columns, rows, height: rows * panelHeight + 70, suffix,
    grid: { rows, columns, pattern: "independent", xgap: columns > 2 ? 0.06 : columns > 1 ? 0.14 : 0, ygap: rows > 1 ? 0.3 : 0 },
    annotations: names.map((name, i) => ({ text: `<b>${chartText(name)}</b>`, showarrow: false, x: 0, y: 1, yshift: 4,
      xref: `x${suffix(i)} domain`, yref: `y${suffix(i)} domain`, xanchor: "left", yanchor: "bottom", font: { size: 14 } })),
  };
}

// The line of a group, and the band of one standard deviation where it has several seeds.
// `panel` is the panel's axis suffix; names in `meta` tell what is plotted.
function groupLine(group, series, { panel = "", showlegend = true, meta = {}, markers = false, width = 2.2 } = {}) {
  const style = groupStyle(group);
  const shared = { type: "scatter", legendgroup: `group-${group.index}`, xaxis: `x${panel}`, yaxis: `y${panel}`,
    visible: hiddenGroups.has(group.index) ? "legendonly" : true };
  const line = { ...shared, name: chartText(group.name), x: series.x, y: series.y, showlegend,
    mode: markers ? "lines+markers" : "lines", line: { color: style.color, dash: style.dash, width },
    marker: { color: style.color, symbol: style.symbol, size: 7 }, meta: { role: "line", group: group.name, ...meta } };
  if (series.n < 2) return [line];
  const up = series.y.map((y, i) => y + series.std[i]);
  const down = series.y.map((y, i) => y - series.std[i]);
  const band = { ...shared, x: [...series.x, ...[...series.x].reverse()], y: [...up, ...down.reverse()], fill: "toself",
    fillcolor: `${style.color}2e`, line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false,
    meta: { role: "band", group: group.name, ...meta } };
  return [band, line];
}

// The vertical line at the shift, with the phases' names, on every panel.
function shiftMarks(arms, unit, suffixes = [""]) {
  const shifts = arms.map((arm) => arm.shift).filter((shift) => shift !== null);
  const marks = { shapes: [], annotations: [] };
  for (const at of unique(shifts.map((shift) => (unit === "tokens" ? shift.tokens : shift.step + 0.5)))) {
    const names = unique(shifts.filter((shift) => (unit === "tokens" ? shift.tokens : shift.step + 0.5) === at).map((shift) => shift.to));
    for (const panel of suffixes) {
      marks.shapes.push({ type: "line", x0: at, x1: at, y0: 0, y1: 1, xref: `x${panel}`, yref: `y${panel} domain`, layer: "below",
        line: { color: themeColor("mark"), width: 1.5, dash: "dot" } });
      marks.annotations.push({ text: `${chartText(names.join(", "), 24)} →`, x: at, y: 1, xref: `x${panel}`, yref: `y${panel} domain`,
        showarrow: false, xanchor: "left", yanchor: "top", xshift: 4, font: { color: themeColor("mark"), size: 13 } });
    }
  }
  return marks;
}

// Rows of named groups, first on top; plotted at 0, -1, … so that equal or odd names cannot clash.
function groupRows(groups, width) {
  const longest = width < 420 ? 16 : width < kNarrow ? 22 : 30;
  return { tickvals: groups.map((_, i) => -i), ticktext: groups.map((group) => chartText(group.name, longest)),
    range: [-groups.length + 0.4, 0.6], zeroline: false, automargin: true };
}

function visibleGroups(groups) { return groups.filter((group) => !hiddenGroups.has(group.index)); }
