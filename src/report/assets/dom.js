// Small builders. Text always goes in as text, never as markup.

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined).map((child) => (typeof child === "string" ? keptTogether(child) : child)));
  return node;
}

// A number and its unit, and a figure and its error, do not break apart at the end of a line: "50.0 %", "4.11 ± 0.11 nats".
const kUnitWords = "%|nats|px|s|min|h|GiB|MiB|GFLOP/s|thousand|million|billion";
const kBeforeUnit = new RegExp(`(\\d[kMBT]?|\\+?\\d) (?=(?:${kUnitWords})(?![\\p{L}\\p{N}]))`, "gu");
function keptTogether(text) { return text.replace(kBeforeUnit, "$1\u00a0").replace(/(\d) ±/g, "$1\u00a0±").replace(/± (?=\d)/g, "±\u00a0"); }

// A section of the page, with its entry in the table of contents.
function addSection(id, title, intro) {
  const section = make("section", { id, "aria-labelledby": `${id}-title` },
    make("h2", { id: `${id}-title` }, title), intro ? make("p", { class: "intro" }, intro) : null);
  document.getElementById("content").append(section);
  document.getElementById("toc").append(make("li", {}, make("a", { href: `#${id}` }, title)));
  return section;
}

function addNote(parent, text) { parent.append(make("p", { class: "note" }, text)); }

// options: [[value, text], …]; onchange gets the value as given. `initial`: what the page chooses by itself, which its address leaves out.
function makeSelect(id, label, options, onchange, selected = 0, initial = selected) {
  const select = make("select", { id, "data-initial": String(initial), onchange: () => onchange(options[select.selectedIndex][0]) },
    ...options.map(([, text], index) => make("option", { value: String(index), selected: index === selected }, String(text))));
  return make("label", { for: id }, label, select);
}

function makeChoice(name, legend, options, onchange) {
  const inputs = options.map(([value, text], index) => make("label", {},
    make("input", { type: "radio", name, id: `${name}-${index}`, checked: index === 0, onchange: () => onchange(value) }), text));
  return make("fieldset", { class: "choice" }, make("legend", { class: "visually-hidden" }, legend), ...inputs);
}

function layerOptions(layers, withMean = true) {
  const options = layers.map((layer) => [layer, `layer ${layer}`]);
  return withMean && layers.length > 1 ? [["mean", "mean over layers"], ...options] : options;
}

// Marks the section in view in the table of contents.
function followScroll() {
  const links = new Map([...document.querySelectorAll("#toc a")].map((link) => [link.hash.slice(1), link]));
  const observer = new IntersectionObserver((entries) => {
    const shown = entries.filter((entry) => entry.isIntersecting);
    if (shown.length === 0) return;
    for (const link of links.values()) link.removeAttribute("aria-current");
    const link = links.get(shown.at(-1).target.id);
    link.setAttribute("aria-current", "true");
    const strip = link.closest("nav");
    if (strip.scrollWidth > strip.clientWidth) strip.scrollLeft = link.offsetLeft - strip.offsetLeft - 20;
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const id of links.keys()) observer.observe(document.getElementById(id));
}
