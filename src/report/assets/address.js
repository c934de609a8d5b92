// What is chosen on the page, in its address: `#TARGET;KEY=VALUE;…`. A reload or a link shows the page as it was seen. There is a
// part for each control that is not at its first choice, and those of the keepers: of what is no control with an id of its own.

const addressKeepers = [];  // {parts() -> [[key, value], …], take(wanted)}; a value is escaped by its keeper

function keepInAddress(keeper) { addressKeepers.push(keeper); }

function addressTarget() { return location.hash.slice(1).split(";")[0]; }
function addressParts() { return Object.fromEntries(location.hash.slice(1).split(";").slice(1).map((part) => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)])); }
function decoded(text) { try { return decodeURIComponent(text); } catch { return ""; } }

function addressOf(target) {
  const parts = [...addressKeepers.flatMap((keeper) => keeper.parts()), ...stateControls().filter(isMoved).map((control) => [control.id, stateOf(control)])];
  return `#${[target, ...parts.map(([key, value]) => `${key}=${value}`)].join(";")}`;
}

function keepAddress() {
  const address = addressOf(addressTarget());
  history.replaceState(null, "", address === "#" ? location.href.split("#")[0] : address);
}

// For what moves many times a second: browsers refuse an address that changes too often.
let keepingAddress = null;
function keepAddressSoon() {
  clearTimeout(keepingAddress);
  keepingAddress = setTimeout(keepAddress, 250);
}

// ---- controls: selects, sliders and radio buttons of the sections, in the order of the page ----
// Those of the bar of an analysis are kept by what they choose (analysis.js).
function stateControls() {
  return [...document.querySelectorAll("#content select[id], #content input[type=range][id], #content input[type=radio][id]")].filter((control) => !control.closest(".analysis-bar"));
}

function stateOf(control) { return control.type === "radio" ? "1" : control.type === "range" ? control.value : String(control.selectedIndex); }
function isMoved(control) { return control.type === "radio" ? control.checked && !control.defaultChecked : stateOf(control) !== (control.dataset.initial ?? "0"); }

// One control may make another anew: they are looked up one by one, in the page's order.
function takeControls(wanted) {
  for (const id of stateControls().map((found) => found.id)) {
    const control = document.getElementById(id);
    if (!control) continue;
    if (control.type === "radio") {
      const others = [...document.getElementsByName(control.name)];
      const chosen = others.find((other) => wanted[other.id] !== undefined) || others.find((other) => other.defaultChecked);
      if (control !== chosen || control.checked) continue;
      control.checked = true;
    } else {
      const value = wanted[id] ?? control.dataset.initial ?? "0";
      const last = control.type === "range" ? Number(control.max) : control.options.length - 1;
      if (!/^\d+$/.test(value) || Number(value) > last || value === stateOf(control)) continue;
      if (control.type === "range") control.value = value; else control.selectedIndex = Number(value);
    }
    control.dispatchEvent(new Event(control.type === "range" ? "input" : "change", { bubbles: true }));
  }
}

function takeAddress() {
  const wanted = addressParts();
  for (const keeper of addressKeepers) keeper.take(wanted);
  takeControls(wanted);
}

// A hash without parts is a link within the page: what is chosen stays.
function followAddress() {
  document.getElementById("content").addEventListener("change", keepAddress);
  document.getElementById("content").addEventListener("input", keepAddressSoon);
  if (location.hash.includes(";")) takeAddress();
  addEventListener("hashchange", () => {
    if (!location.hash.includes(";")) { keepAddress(); return; }
    takeAddress();
    showAddressed();
  });
}

// Scrolls to what the address names; the browser does not, since the name has more after it.
function showAddressed() {
  const target = document.getElementById(addressTarget());
  if (target && location.hash.includes(";")) target.scrollIntoView();
}

function permalink(id, title) {
  const link = make("a", { class: "permalink", href: `#figure-${id}`, "aria-label": `Link to the chart ${title} as it is shown` }, "link");
  link.addEventListener("click", (event) => {
    event.preventDefault();
    history.replaceState(null, "", addressOf(`figure-${id}`));
    if (navigator.clipboard) navigator.clipboard.writeText(location.href).then(() => { link.textContent = "copied"; }, () => {});
  });
  return link;
}
