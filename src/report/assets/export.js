// A chart to take along: its picture as PNG, SVG or PDF, and its figures as CSV.
//
// The PDF is the browser's own print of the one chart on a page of its size. So its lines are vectors and its fonts are in the
// file, for names of every script, which journals ask for; a PDF written here could only name fonts that it does not hold.

const exportView = { withTitle: true };  // title and context above the picture; for a paper, whose caption says it, without

function chartTools(id, title) {
  const tool = (name, label, onclick) => make("button", { type: "button", class: "tool", "aria-label": `${label} of ${title}`, onclick }, name);
  const option = make("input", { type: "checkbox", class: "with-title", checked: exportView.withTitle, "aria-label": "Pictures with title and context",
    onchange: (event) => { setExportTitle(event.target.checked); keepAddress(); } });
  return make("div", { class: "chart-tools" }, permalink(id, title),
    tool("PNG", "Picture", () => savePicture(id, "png")),
    tool("SVG", "Vector picture", () => savePicture(id, "svg")),
    tool("PDF", "Print as PDF", () => printChart(id)),
    tool("CSV", "Figures", () => saveFigures(id)),
    make("label", { class: "tool-option", title: "Title and context above the saved picture" }, option, "title"));
}

function setExportTitle(withTitle) {
  exportView.withTitle = withTitle;
  for (const box of document.querySelectorAll(".with-title")) box.checked = withTitle;
}

function keepExportTitle() { keepInAddress({ parts: () => (exportView.withTitle ? [] : [["title", "0"]]), take: (wanted) => setExportTitle(wanted.title !== "0") }); }

// ---- pictures -----------------------------------------------------------------------------------

const kPictureHead = 70;  // px for the two lines above a saved chart

// The chart as it is drawn, for paper: in the light theme, opaque. Null where there is nothing to draw.
function chartPicture(id) {
  const { host, build, title } = charts.get(id);
  const width = Math.max(900, host.clientWidth);
  const drawn = inLightTheme(() => {
    const built = build(width);
    return built && { built, layout: pageLayout(built, width), paper: themeColor("panel"), soft: themeColor("soft") };
  });
  if (!drawn) return null;
  const { built, layout, paper, soft } = drawn;
  Object.assign(layout, { paper_bgcolor: paper, plot_bgcolor: paper });
  if (exportView.withTitle) {
    const context = chartText(chartContext(built.data), Math.floor(width / 8));
    Object.assign(layout, { height: layout.height + kPictureHead, margin: { ...layout.margin, t: (layout.margin.t ?? 26) + kPictureHead },
      title: { text: `<b>${chartText(title, 80)}</b><br><span style="font-size:14px;color:${soft}">${context}</span>`, font: { size: 19 }, x: 18 / width, xref: "container",
        y: 1 - 20 / (layout.height + kPictureHead), yref: "container", xanchor: "left", yanchor: "top" } });
  }
  return { data: built.data, layout, width, height: layout.height };
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

function pictureAddress({ data, layout, width, height }, format) { return Plotly.toImage({ data, layout }, { format, width, height, scale: format === "png" ? 2 : 1 }); }

async function savePicture(id, format) {
  const picture = chartPicture(id);
  if (picture) downloadAddress(await pictureAddress(picture, format), `evenkeel-${id}.${format}`);
}

// Prints the chart alone; the dialog's "Save as PDF" has the chart's name.
async function printChart(id) {
  const picture = chartPicture(id);
  if (!picture) return;
  const address = await pictureAddress(picture, "svg");
  const svg = new DOMParser().parseFromString(decodeURIComponent(address.slice(address.indexOf(",") + 1)), "image/svg+xml").documentElement;
  const sheet = make("div", { id: "print-sheet" }, make("style", {}, `@page { size: ${picture.width}px ${picture.height}px; margin: 0; }`), document.importNode(svg, true));
  const title = document.title;
  document.body.append(sheet);
  document.documentElement.dataset.printing = "chart";
  document.title = `evenkeel-${id}`;
  addEventListener("afterprint", () => {
    sheet.remove();
    delete document.documentElement.dataset.printing;
    document.title = title;
  }, { once: true });
  print();
}

function isPrintingChart() { return document.documentElement.dataset.printing === "chart"; }

// ---- figures ------------------------------------------------------------------------------------

function saveFigures(id) {
  const { host } = charts.get(id);
  downloadText(chartCsv(host.data || [], host.layout || {}), `evenkeel-${id}.csv`);
}

// A row for each point, cell or flow. A trace of a study has its `rows`, with a name for each column; one of an analysis
// `records`, the rows of the table that its points were drawn from, which follow what is drawn and its interval.
function chartCsv(traces, layout) {
  const rows = traces.flatMap((trace) => trace.rows || (trace.hoverinfo === "skip" && !trace.records ? [] : pointRows(trace, layout)));
  const kept = new Set([...kKeptColumns, ...traces.flatMap((trace) => (trace.records || []).flat()).flatMap((record) => Object.keys(record || {}))]);
  const columns = unique(rows.flatMap(Object.keys)).filter((column) => kept.has(column) || rows.some((row) => row[column] !== null && row[column] !== undefined && row[column] !== ""));
  return csvRows([columns, ...rows.map((row) => columns.map((column) => row[column]))]);
}

const kKeptColumns = ["mean", "low", "high", "model", "series"];  // also where no row has a value, as those of a table

// {…labels, mean, low, high, seeds} of a figure (figureOf): the interval is its error to each side (errorOver).
function figureRow(labels, figure) {
  const spread = figure && (figure.n > 1 || figure.std > 0);
  return { ...labels, mean: figure ? figure.mean : null, low: spread ? figure.mean - figure.std : null, high: spread ? figure.mean + figure.std : null, seeds: figure ? figure.n : 0 };
}

function axisWord(layout, letter, trace) {
  const axis = layout[`${letter}axis${(trace[`${letter}axis`] || letter).slice(1)}`] || {};
  const title = axis.title && typeof axis.title === "object" ? axis.title.text : axis.title;
  return title ? title.replaceAll("<br>", " ") : letter;
}

function pointRows(trace, layout) {
  const [x, y] = ["x", "y"].map((letter) => axisWord(layout, letter, trace));
  const common = { model: trace.meta && trace.meta.model, series: trace.name || (trace.meta && plain(trace.meta.role)) || "" };
  const row = (place, values, record) => ({ ...common, ...place, ...values, ...(record || {}) });
  if (trace.type === "heatmap") {
    return trace.z.flatMap((line, i) => line.map((value, j) => row({ [x]: trace.x ? trace.x[j] : j, [y]: trace.y ? trace.y[i] : i }, { mean: value }, trace.records && trace.records[i][j])));
  }
  if (trace.type === "sankey") {
    return trace.link.value.map((value, i) => row({ from: trace.node.label[trace.link.source[i]], to: trace.node.label[trace.link.target[i]] }, { mean: value }, trace.records && trace.records[i]));
  }
  if (!trace.x) return [];
  const along = trace.error_x && !trace.error_y ? "x" : "y";
  const bar = trace[`error_${along}`] || null;
  const reach = (i, side) => (bar === null || !isNumber(trace[along][i]) || !isNumber((side || bar.array)[i]) ? null : (side || bar.array)[i]);
  return Array.from(trace.x).map((at, i) => {
    const [down, up] = [reach(i, bar && bar.arrayminus), reach(i, bar && bar.array)];
    const value = trace[along][i];
    return row(along === "y" ? { [x]: at } : { [y]: trace.y[i] }, { mean: value, low: down === null ? null : value - down, high: up === null ? null : value + up }, trace.records && trace.records[i]);
  });
}
