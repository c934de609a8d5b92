#include "study/recipe_keys.h"

#include "data/objectives/objective.h"
#include "model/attention/attention.h"
#include "model/config.h"
#include "moe/router.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "study/matrix.h"
#include "train/config.h"

namespace evenkeel::study {
namespace {

void set_type(std::vector<ConfigKey>& keys, const std::string& key, const std::string& type) {
  for (auto& entry : keys)
    if (entry.key == key) entry.type = type;
}

void add_model_keys(std::vector<ConfigKey>& out) {
  std::vector<ConfigKey> keys;
  list_keys(model::ModelTable{}, "model", keys);
  set_type(keys, "model.from", "path");
  std::string presets;
  for (const auto& name : model::preset_names()) add_to_list(presets, name);
  for (auto& key : keys)
    if (key.key == "model.preset") key.meaning += ": " + presets;
  insert_keys(keys, "model.attention", model::attention_keys("model.attention"));
  insert_keys(keys, "model.router", moe::router_keys("model.router"));
  out.insert(out.end(), keys.begin(), keys.end());
}

void add_phase_keys(std::vector<ConfigKey>& out) {
  std::vector<ConfigKey> keys;
  list_keys(train::PhaseConfig{}, "phase.NAME", keys);
  insert_keys(keys, "phase.NAME.schedule", optim::schedule_keys("phase.NAME.schedule"));
  insert_keys(keys, "phase.NAME.objective", data::objective_keys("phase.NAME.objective"));
  insert_keys(keys, "phase.NAME.slow",
              {{.key = "phase.NAME.slow.PATTERN",
                .type = "number",
                .default_text = "1",
                .meaning = "factor on the learning rate of the parameters that PATTERN fits; 0 = frozen"}});
  out.insert(out.end(), keys.begin(), keys.end());
}

// What an arm or an axis of the matrix changes is any key of a recipe.
void add_study_keys(std::vector<ConfigKey>& out) {
  std::vector<ConfigKey> keys;
  list_keys(StudyTable{}, "study", keys);
  set_type(keys, "study.phases", "list of strings");
  set_type(keys, "study.arms", "list of tables");
  insert_keys(keys, "study.arms",
              {{.key = "study.arms.NAME.name",
                .type = "string",
                .is_required = true,
                .meaning = "name of the arm and of its folder"},
               {.key = "study.arms.NAME.phases",
                .type = "list of strings",
                .default_text = "as study.phases",
                .meaning = "names of the phases that the arm runs, in order"},
               {.key = "study.arms.NAME.KEY",
                .type = "as the key",
                .default_text = "as the base",
                .meaning = "any key of a recipe, phases by name: model.router.kind, phase.german.replay"}});
  insert_keys(keys, "study.matrix",
              {{.key = "study.matrix.KEY",
                .type = "list of values",
                .default_text = "as the base",
                .meaning = "any key of a recipe with the values that it takes; a table among them may carry a name"}});
  out.push_back({.key = "study",
                 .type = "table",
                 .default_text = "none: one run",
                 .meaning = "many runs of one experiment: evenkeel study"});
  out.insert(out.end(), keys.begin(), keys.end());
}

}  // namespace

std::vector<ConfigKey> recipe_keys() {
  std::vector<ConfigKey> out, model, train, phase;
  list_keys(train::RecipeTables{}, "", out);
  set_type(out, "phase", "list of tables");
  add_model_keys(model);
  list_keys(train::TrainSettings{}, "train", train);
  add_phase_keys(phase);
  insert_keys(out, "model", model);
  insert_keys(out, "train", train);
  insert_keys(out, "optimizer", optim::optimizer_keys("optimizer"));
  insert_keys(out, "phase", phase);
  add_study_keys(out);
  return out;
}

namespace {

struct Section {
  const char* prefix;  // of its keys; a key stands in the section of the longest prefix that fits
  const char* text;    // heading and what it says before its table
};
constexpr Section kSections[] = {
    {"", "## The tables of a recipe\n\nEach run has these; a study file has `[study]` beside them."},
    {"model.", "## `[model]`"},
    {"model.attention.", "## `[model.attention]`\n\nThe heads of `grouped` and their widths stand in `[model]`."},
    {"model.router.", "## `[model.router]`\n\nFormulas and limits: [routers.md](routers.md)."},
    {"model.balance.",
     "## `[model.balance]`\n\nOne loss with its keys beside it, or `loss = [{loss = …, coefficient = …}, …]` for "
     "several. Formulas: [routers.md](routers.md#balance-losses)."},
    {"model.capacity.",
     "## `[model.capacity]`\n\nA rule gives all keys their values; a key beside it changes that one. Formulas: "
     "[routers.md](routers.md#capacity-and-drops)."},
    {"train.", "## `[train]`"},
    {"optimizer.", "## `[optimizer]`\n\nFormulas and sources: [cpt.md](cpt.md#optimizers)."},
    {"phase.NAME.", "## `[[phase]]`\n\nHow to choose them: [cpt.md](cpt.md)."},
    {"phase.NAME.objective.", "## `objective` of a phase"},
    {"phase.NAME.schedule.", "## `schedule` of a phase\n\nFormulas: [cpt.md](cpt.md#schedules)."},
    {"study.",
     "## `[study]`\n\nAn arm, or a combination of the matrix, is the base with its changes. A router, optimizer or "
     "objective of another kind, a rule of another name and a list of losses replace the base's whole; of a schedule "
     "of another kind the keys stay that this kind has too."},
};

const Section& section_of(const std::string& key) {
  const Section* best = nullptr;
  for (const auto& section : kSections)
    if (key.starts_with(section.prefix) &&
        (best == nullptr || std::string_view(section.prefix).size() > std::string_view(best->prefix).size()))
      best = &section;
  return *best;
}

constexpr const char* kHead = R"(# Every key of a recipe

Written by `evenkeel keys --markdown > docs/recipe.md` from the lists that the parser reads by; do not edit it by hand. `evenkeel
keys [PATTERN]` prints the same for a part of a key, a kind (`sinkhorn`, `cosine`, `switch`) or a pattern (`'model.*'`), and `--json` all of it for programs.

A recipe is TOML. `NAME` stands for the `name` of a table of a list: `phase.NAME.tokens` is `tokens` of a `[[phase]]`, and on the
command line `--set phase.german.tokens="1M tokens"`. `[]` is a table of a list without names. Paths are relative to the recipe's
folder. Whole numbers may be written `2e6` or `"2M"`; k, M, B and T are 10³, 10⁶, 10⁹, 10¹². A duration is a number with a unit, `"2M tokens"`,
`"400 steps"`; a bare number is of the unit named first. A key that is not here is an error that names the nearest one.
"Read by" names the kinds of router, loss, rule, optimizer or schedule that read a key, where not all do; for the others it is an error.
)";

std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string default_cell(const ConfigKey& key) {
  const std::string text = shown_default(key);
  const bool is_value = !key.is_required && key.default_text.empty() && text != "none";
  return is_value ? "`" + text + "`" : text;
}

std::string row_of(const ConfigKey& key, bool has_kinds) {
  std::string out = "| `" + key.key + "` | " + key.type + " | " + key.unit + " | " + cell(default_cell(key)) + " | " +
                    cell(key.meaning) + " |";
  if (!has_kinds) return out + "\n";
  return out + " " + shown_kinds(key) + " |\n";
}

}  // namespace

std::string recipe_keys_markdown(const std::vector<ConfigKey>& keys) {
  std::string out = kHead;
  for (const auto& section : kSections) {
    std::vector<ConfigKey> rows;
    bool has_kinds = false;
    for (const auto& key : keys) {
      if (&section_of(key.key) != &section) continue;
      rows.push_back(key);
      has_kinds = has_kinds || !key.kinds.empty();
    }
    out += "\n" + std::string(section.text) + "\n\n| key | type | unit | default | meaning |" +
           (has_kinds ? " read by |" : "") + "\n|---|---|---|---|---|" + (has_kinds ? "---|" : "") + "\n";
    for (const auto& row : rows) out += row_of(row, has_kinds);
  }
  return out;
}

}  // namespace evenkeel::study
