// results.json: the figures of a run, derived from the files that it left and from nothing else.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/table.h"
#include "model/config.h"
#include "train/loss_error.h"

namespace evenkeel::train {

// The files of one run, as an arm of a study (a run alone is a study of one arm).
struct Arm {
  std::string name, group;  // arms that differ only by seed share the group
  std::filesystem::path run;
  Json resolved;
  std::vector<Json> steps, evaluations, saturations;  // lines of metrics.jsonl
};
Arm read_arm(const std::string& name, const std::string& group, const std::filesystem::path& run);
model::ModelConfig arm_model(const Arm& arm);
int64_t seed_of(const Arm& arm);  // train.seed

// Whether the run's first weights were trained before: by [model] from, or by a start of its first phase.
bool comes_from_elsewhere(const Arm& arm);
// What forgetting is measured against, a line of `evaluations`: step 0 of a run whose weights come from elsewhere, else the end of the
// first phase; nullptr where that was not evaluated.
const Json* baseline_evaluation(const Arm& arm);
// Its name in tables: "step 0", or the first phase's.
std::string baseline_name(const Arm& arm);

// On a held-out set at the end of the last phase that was evaluated: the loss, and its change since what forgetting is measured
// against. nullopt where one of the two was not evaluated.
std::optional<LossFigure> loss_at_end(const Arm& arm, const std::string& data);
std::optional<LossFigure> loss_change(const Arm& arm, const std::string& data);

using NamedTables = std::vector<std::pair<std::string, Table>>;
// Empty tables with their columns: forgetting, shift_mri, eval_mri, saturation, drops, warnings.
NamedTables new_tables();
Table& find_table(NamedTables& tables, const std::string& name);
// Adds the arms' rows to each.
void add_rows(const std::vector<Arm>& arms, NamedTables& tables);

// {"name", "group", "run", "parameters", ...} of results.json; `run` is the path to state there.
Json arm_json(const Arm& arm, const std::string& run);
// What a reader must know of the arms' routers before comparing losses: a sentence for each router
// and each capacity rule that is not causal.
std::vector<std::string> router_notes(const std::vector<Arm>& arms);
Json definitions_json();
Json tables_json(const NamedTables& tables);

// The whole results.json of one run; `machine` as of machine_json. `name_given`: of the run in it; "" = that of its folder.
Json run_results(const std::filesystem::path& run, const Json& machine, const std::string& name_given = "");

}  // namespace evenkeel::train
