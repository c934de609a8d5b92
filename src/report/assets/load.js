// The load of every expert: over the steps for a layer, and over the layers at a step.

const loadView = { arm: null, layer: 0, step: 0, timer: null };

function addLoadSection(report) {
  const arms = report.arms.filter((arm) => loadedSteps(arm).length > 0);
  if (arms.length === 0) return;
  const section = addSection("load", "Load of the experts",
    "Each expert's share of the assignments; the experts of a layer sum to 1. White on the light page (dark on the dark one) is idle, strong colour is busy. Move the slider to look at one step. Of a long run every n-th step and the last are here, at most 240.");
  const preferred = arms.find((arm) => arm.model === "granular") || arms[0];
  loadView.arm = preferred;
  const slider = make("input", { type: "range", id: "load-step", min: "0", step: "1", "aria-describedby": "load-step-text" });
  const output = make("output", { id: "load-step-text", for: "load-step" });
  const layerHost = make("div");
  const showStep = () => {
    loadView.step = Number(slider.value);
    const line = loadedSteps(loadView.arm)[loadView.step];
    output.textContent = `step ${line.step}, phase ${line.phase}`;
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  const choose = (arm) => {
    loadView.arm = arm;
    const layers = layersOf([arm]);
    if (!layers.includes(loadView.layer)) loadView.layer = layers[0];
    layerHost.replaceChildren(makeSelect("load-layer", "Layer", layerOptions(layers, false), (layer) => { loadView.layer = layer; drawChart("load-steps"); },
      layers.indexOf(loadView.layer), 0));
    const steps = loadedSteps(arm);
    slider.max = String(steps.length - 1);
    const first = arm.shift ? steps.findIndex((line) => line.step > arm.shift.step) : -1;
    slider.value = slider.dataset.initial = String(first >= 0 ? first : steps.length - 1);
    showStep();
  };
  const redraw = () => ["load-layers", "load-steps"].forEach(drawChart);
  let pending = false;
  slider.addEventListener("input", () => {
    showStep();
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => { pending = false; drawChart("load-layers"); moveCursor(); });
  });
  const armSelect = makeSelect("load-arm", "Arm", arms.map((arm) => [arm, arm.name]), (arm) => { choose(arm); redraw(); }, arms.indexOf(preferred));
  choose(preferred);
  section.append(make("div", { class: "controls" }, arms.length > 1 ? armSelect : null, layerHost,
    make("label", { class: "wide", for: "load-step" }, make("span", {}, "Step: ", output), slider), playButton(slider)));
  addChart(section, { id: "load-layers", title: "Every layer at the chosen step", caption: "Rows are layers, columns are experts.", build: buildLoadLayers });
  addChart(section, { id: "load-steps", title: "One layer over the run",
    caption: `Rows are experts, columns are steps. The solid line is the chosen step${report.arms.some((arm) => arm.shift) ? `, ${hasBorders(report.arms) ? "the dotted ones the borders between phases" : "the dotted one the shift"}` : ""}.`, build: buildLoadSteps });
}

function playButton(slider) {
  const button = make("button", { type: "button", id: "load-play", "aria-pressed": "false" }, "Play");
  const stop = () => { clearInterval(loadView.timer); loadView.timer = null; button.textContent = "Play"; button.setAttribute("aria-pressed", "false"); };
  button.addEventListener("click", () => {
    if (loadView.timer !== null) { stop(); return; }
    if (slider.value === slider.max) slider.value = "0";
    button.textContent = "Stop";
    button.setAttribute("aria-pressed", "true");
    loadView.timer = setInterval(() => {
      if (slider.value === slider.max) { stop(); return; }
      slider.value = String(Number(slider.value) + 1);
      slider.dispatchEvent(new Event("input"));
    }, 160);
  });
  return button;
}

function loadedSteps(arm) {
  return arm.steps.filter((line) => line.routing.some((entry) => Array.isArray(entry.load)));
}

function loadOf(line, layer) {
  const entry = line.routing.find((candidate) => candidate.layer === layer);
  return entry && Array.isArray(entry.load) ? entry.load : null;
}

// Colour limits hold for all steps of the arm, so that the slider shows change, not rescaling;
// a rare extreme saturates at five times the uniform share.
function loadColors(arm) {
  const loads = loadedSteps(arm).flatMap((line) => line.routing.map((entry) => entry.load).filter(Array.isArray));
  const experts = Math.max(...loads.map((load) => load.length));
  const highest = loads.reduce((top, load) => Math.max(top, ...load), 0);
  const limit = Math.min(Math.ceil(highest * experts), 5);
  const ticks = Array.from({ length: limit + 1 }, (_, i) => i);
  return { zmin: 0, zmax: limit / experts, colorscale: loadScale(), colorbar: { thickness: 14, outlinewidth: 0,
    tickvals: ticks.map((tick) => tick / experts), ticktext: ticks.map((tick) => (tick === 0 ? "idle" : tick === 1 ? "1/E" : `${tick === limit && highest * experts > limit ? "≥ " : ""}${tick}/E`)),
    tickfont: { color: themeColor("soft") } } };
}

// For captions: the field that chooses the arm may be too narrow for its name.
function shownArm() { return document.getElementById("load-arm") ? `Shown: ${loadView.arm.name}.` : ""; }

function buildLoadLayers(width) {
  const arm = loadView.arm;
  const line = loadedSteps(arm)[loadView.step];
  const entries = line.routing.filter((entry) => Array.isArray(entry.load));
  const experts = entries[0].load.length;
  const data = [{ type: "heatmap", z: entries.map((entry) => entry.load), x: entries[0].load.map((_, i) => i), y: entries.map((entry) => entry.layer),
    ...loadColors(arm), xgap: experts > 64 ? 0 : 2, ygap: 2, hovertemplate: "layer %{y}, expert %{x}<br>%{z:.2%} of the assignments<extra></extra>",
    rows: entries.flatMap(({ layer, load }) => load.map((share, expert) => ({ arm: arm.name, step: line.step, layer, expert, "share of assignments": share }))),
    meta: { role: "load-layers", arm: arm.name, step: line.step } }];
  const row = entries.length > 12 ? 22 : 52;
  return { data, height: 110 + row * entries.length, note: shownArm(), layout: { margin: { t: 12, r: 0 },
    xaxis: { title: "expert", showgrid: false, zeroline: false, dtick: countTicks(experts, width), uirevision: arm.name },
    yaxis: { title: "layer", autorange: "reversed", showgrid: false, zeroline: false, dtick: entries.length <= 16 ? 1 : undefined, uirevision: arm.name } } };
}

function buildLoadSteps() {
  const { arm, layer } = loadView;
  const lines = loadedSteps(arm).filter((line) => loadOf(line, layer) !== null);
  if (lines.length === 0) return null;
  const experts = loadOf(lines[0], layer).length;
  const data = [{ type: "heatmap", x: lines.map((line) => line.step), y: Array.from({ length: experts }, (_, i) => i),
    z: Array.from({ length: experts }, (_, expert) => lines.map((line) => loadOf(line, layer)[expert])),
    ...loadColors(arm), hovertemplate: "step %{x}, expert %{y}<br>%{z:.2%} of the assignments<extra></extra>",
    rows: lines.flatMap((line) => loadOf(line, layer).map((share, expert) => ({ arm: arm.name, step: line.step, layer, expert, "share of assignments": share }))),
    meta: { role: "load-steps", arm: arm.name, layer } }];
  const marks = shiftMarks([arm], "steps");
  for (const shape of marks.shapes) shape.layer = "above";
  return { data, height: 430, note: shownArm(), layout: { shapes: [...marks.shapes, cursor()], annotations: marks.annotations, margin: { t: 30, r: 0 },
    xaxis: { title: "step", showgrid: false, zeroline: false, uirevision: arm.name },
    yaxis: { title: "expert", showgrid: false, zeroline: false, dtick: experts <= 16 ? 1 : undefined, uirevision: arm.name } } };
}

function cursor() {
  const step = loadedSteps(loadView.arm)[loadView.step].step;
  return { type: "line", x0: step, x1: step, y0: 0, y1: 1, yref: "paper", line: { color: themeColor("focus"), width: 2 } };
}

// Moves the line alone; drawing the whole heat map for each notch of the slider would lag.
function moveCursor() {
  const host = charts.get("load-steps").host;
  if (!host.layout) return;  // not drawn yet
  Plotly.relayout(host, { shapes: [...host.layout.shapes.slice(0, -1), cursor()] });
}
