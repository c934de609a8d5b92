// Every table of the results, the recipes and the definitions.

const kTableTitles = {
  forgetting: "Loss after each phase", shift_mri: "Imbalance around the shift", eval_mri: "Imbalance on held-out text",
  saturation: "Router saturation", throughput: "Training speed", tokens_to_loss: "Tokens to the reference's loss",
  co_routing: "Flows between layers", coactivation: "Experts chosen together", coactivation_change: "Change of co-activation, by pair",
  coactivation_change_by_layer: "Change of co-activation, by layer", coactivation_order: "Order of experts in the co-activation", continual_vocabulary: "Token ids that keep their expert",
  domain_similarity: "Likeness of the data sets", domain_specialization: "Specialization by data set", drop_by_position: "Drops by position", drops: "Dropped tokens", early_routing: "Single token ids against the reference",
  expert_tokens: "What an expert reads", expert_vocabulary: "Vocabulary specialization of every expert", load: "Load of the experts", balance_losses: "Balance losses",
  position_specialization: "Positions", position_id_specialization: "Single positions", semantic_clusters: "Clusters of meaning, by expert", semantic_cluster_tokens: "Tokens of the clusters",
  semantic_coherence: "Clusters of meaning, by layer", temporal_locality: "Neighbouring tokens", token_specialization: "Token ids", token_id_specialization: "Single token ids", vocabulary_specialization: "Vocabulary specialization",
  pairs: "Arms in pairs", routers: "Routers compared", warnings: "Warnings of the checks", recipe_warnings: "Warnings of the recipe",
};

function addTablesSection(report) {
  if (report.tables.size === 0) return;
  const section = addSection("tables", "Tables",
    "Numbers are rounded for reading; hold the pointer over one for all its digits, or take the CSV, which has them all.");
  let first = true;
  for (const table of report.tables.values()) {
    if (table.rows.length === 0) continue;
    section.append(tableBlock(table, first));
    first = false;
  }
  const empty = [...report.tables.values()].filter((table) => table.rows.length === 0).map((table) => table.name);
  if (empty.length > 0) addNote(section, `Without rows here: ${list(empty)}.`);
}

function capitalised(text) { return text.slice(0, 1).toUpperCase() + text.slice(1); }

function tableTitle(name) {
  const base = name.replace(/_summary$/, "");
  const title = Object.hasOwn(kTableTitles, base) ? kTableTitles[base] : capitalised(plain(base));
  return name === base ? title : `${title}, over seeds`;
}

// The name in results.json and csv/ where the title is not that name.
function tableSize(table) {
  const rows = `${table.rows.length} ${table.rows.length === 1 ? "row" : "rows"}`;
  return ` (${tableTitle(table.name) === plain(table.name) ? "" : `${table.name}, `}${rows})`;
}

function tableBlock(table, open) {
  const facts = [isNumber(table.chance) ? `Chance level ${formatNumber(table.chance)}.` : "",
    isNumber(table.tokens) ? `${formatNumber(table.tokens)} tokens.` : "", table.source ? `Source: ${table.source}` : ""].filter((fact) => fact !== "");
  const button = make("button", { type: "button", onclick: () => downloadCsv(table) }, "Download CSV");
  button.setAttribute("aria-label", `Download ${plain(table.name)} as CSV`);
  const block = make("details", { class: "table-block", id: `table-${table.name.replace(/[^\w-]/g, "-")}`, open },
    make("summary", {}, tableTitle(table.name), make("span", { class: "soft" }, tableSize(table))));
  const body = make("div", { class: "body" }, make("div", { class: "table-foot" }, make("span", {}, facts.join(" ")), button));
  block.append(body);
  const fill = () => { if (!body.querySelector("table")) body.append(tableView(table)); };
  if (open) fill();
  block.addEventListener("toggle", fill);
  addEventListener("beforeprint", () => { if (isPrintingChart()) return; fill(); block.open = true; });
  return block;
}

function tableView(table) {
  const numeric = table.columns.map((_, i) => table.rows.some((row) => isNumber(row[i])) && table.rows.every((row) => row[i] === null || isNumber(row[i])));
  const head = make("tr", {}, ...table.columns.map((column, i) => make("th", { scope: "col", class: numeric[i] ? "number" : null },
    plain(column.name), column.unit ? make("span", { class: "soft" }, column.unit) : null)));
  const rows = table.rows.map((row) => make("tr", {}, ...row.map((value, i) => tableCell(table.columns[i].name, value, numeric[i]))));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table ${plain(table.name)}` },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function tableCell(column, value, numeric) {
  const text = column === "layer" && value === null ? "mean" : column === "text" && typeof value === "string" ? visibleText(value) : formatNumber(value);
  const kind = ["what", "difference", "arms"].includes(column) ? "wrap" : ["arm", "group", "reference"].includes(column) ? "name" : null;
  return make("td", { class: numeric ? "number" : kind, title: typeof value === "number" ? String(value) : null }, text);
}

function csvText(table) { return csvRows([table.columns.map((column) => column.name), ...table.rows]); }

function csvRows(rows) {
  const field = (value) => {
    const text = value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}

function downloadCsv(table) { downloadText(csvText(table), `${table.name}.csv`); }

function downloadText(text, name) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  downloadAddress(address, name);
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function downloadAddress(address, name) {
  const link = make("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

function addRecipeSection(report) {
  const recipes = [[report.kind === "study" ? "the study" : "the run", report.results.recipe || ""],
    ...report.arms.map((arm) => [arm.name, arm.recipe])].filter(([, text]) => text !== "");
  const distinct = recipes.filter(([, text], i) => recipes.findIndex(([, other]) => other === text) === i);
  if (distinct.length === 0) return;
  const section = addSection("recipe", "Recipe", "The recipe as it was given; running it again repeats the experiment. Of absolute paths the last part is here; recipe.toml of the run has them whole.");
  const text = make("pre", { tabindex: "0", id: "recipe-text", "aria-label": "Recipe" });
  const show = (recipe) => { text.textContent = recipe; };
  if (distinct.length > 1) {
    section.append(make("div", { class: "controls" }, makeSelect("recipe-choice", "Recipe of", distinct.map(([name, recipe]) => [recipe, name]), show)));
  }
  show(distinct[0][1]);
  section.append(text);
}

function addDefinitionsSection(report) {
  const terms = Object.entries(report.results.definitions || {});
  if (terms.length === 0) return;
  const section = addSection("definitions", "Definitions");
  section.append(make("dl", { class: "terms" }, ...terms.flatMap(([term, definition]) => [make("dt", {}, term),
    make("dd", {}, `${definition.text} `, definition.source ? make("span", { class: "soft" }, `Source: ${definition.source}`) : null)])));
}
