#include "study/router_table.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "model/layout.h"
#include "moe/capacity_config.h"
#include "study/comparison.h"
#include "train/forgetting.h"
#include "train/mri_error.h"
#include "train/result_rows.h"
#include "train/shift_sets.h"

namespace evenkeel::study {
namespace {

using train::Arm;

const char* word_of(moe::Scope scope) {
  switch (scope) {
    case moe::Scope::token: return "token";
    case moe::Scope::sequence: return "sequence";
    case moe::Scope::micro_batch: return "micro-batch";
    case moe::Scope::step: return "step";
  }
  throw std::logic_error("a scope without a name");
}

// The columns that say which rule an arm has.
RouterRow rule_of(const Arm& arm) {
  RouterRow row;
  row.arm = arm.name;
  const auto config = train::arm_model(arm);
  if (!config.is_moe()) return row;
  const auto router = moe::make_router(config.router_shape(), config.router);
  const auto traits = router->traits();
  const auto drops = moe::capacity_traits(config.capacity, config.top_k);
  row.router = router->options().at("kind").as_string();
  row.capacity = config.capacity.rule;
  row.scope = word_of(std::max(traits.train_scope, drops.train_scope));
  row.eval_scope = word_of(std::max(traits.eval_scope, drops.eval_scope));
  row.causal = traits.causal_train && drops.is_causal;
  row.eval_causal = traits.causal_eval && drops.is_causal;
  row.balance = routing_words(arm).balance;
  row.lower_bound = model::experts_per_token(config) / static_cast<double>(config.n_experts);
  row.experts = model::experts_in_all_layers(config);
  return row;
}

using record::EvaluationRow;

std::optional<train::LossFigure> loss_of(const EvaluationRow* evaluation, const std::string& data) {
  const auto* result = evaluation == nullptr ? nullptr : evaluation->find(data);
  return result == nullptr ? std::nullopt : std::optional(train::loss_figure(*result));
}

// The losses of the row and their errors; `last`: after the last phase.
void add_losses(RouterRow& row, const Arm& arm, const EvaluationRow* last) {
  using Loss = std::pair<std::optional<double>, std::optional<double>>;
  const auto old_loss = loss_of(last, row.old_data), new_loss = loss_of(last, row.new_data);
  if (old_loss) std::tie(row.loss_old, row.loss_old_se) = Loss{old_loss->value, old_loss->se};
  if (new_loss) std::tie(row.loss_new, row.loss_new_se) = Loss{new_loss->value, new_loss->se};
  const auto before = train::forgetting_baseline(arm, arm.resolved.at("phase").size() - 1, row.old_data);
  if (!before) return;
  std::tie(row.loss_before, row.loss_before_se) = Loss{before->loss.value, before->loss.se};
  if (!old_loss) return;
  const auto change = train::difference(*old_loss, before->loss);
  std::tie(row.forgetting, row.forgetting_se) = Loss{change.value, change.se};
}

// Mean over layers.
std::optional<double> eval_mri_of(const EvaluationRow* evaluation, const std::string& data) {
  const auto* result = evaluation == nullptr ? nullptr : evaluation->find(data);
  return result == nullptr || result->routing.empty() ? std::nullopt
                                                      : std::optional(train::mri_columns(result->routing)[0]);
}

// Experts of all layers that no token of any held-out set reaches.
std::optional<int64_t> dead_of(const EvaluationRow* evaluation) {
  if (evaluation == nullptr) return {};
  std::map<std::pair<int64_t, size_t>, bool> is_dead;
  for (const auto& [data, result] : evaluation->eval)
    for (const auto& layer : result.routing) {
      if (layer.load.empty()) return {};  // made without loads
      for (size_t expert = 0; expert < layer.load.size(); ++expert) {
        const auto [entry, is_new] = is_dead.emplace(std::pair(layer.layer, expert), true);
        entry->second = entry->second && layer.load[expert] == 0;
      }
    }
  if (is_dead.empty()) return {};
  return static_cast<int64_t>(
      std::count_if(is_dead.begin(), is_dead.end(), [](const auto& entry) { return entry.second; }));
}

// The row of shift_mri over all layers, for the arm's last phase; none where nothing shifted.
std::optional<train::ShiftMriRow> shift_row(const Table& table, const Arm& arm) {
  for (auto& row : rows_of<train::ShiftMriRow>(table))
    if (row.arm == arm.name && !row.layer && row.phase == train::last_phase(arm)) return row;
  return std::nullopt;
}

}  // namespace

const std::vector<std::string>& router_table_keys() {
  static const std::vector<std::string> keys = {"router",   "capacity",    "scope",   "eval_scope",
                                                "causal",   "eval_causal", "balance", "old_data",
                                                "new_data", "lower_bound", "experts"};
  return keys;
}

void add_router_table(const std::vector<Arm>& arms, train::NamedTables& tables) {
  std::set<std::string> rules;
  for (const auto& arm : arms) {
    const auto row = rule_of(arm);
    if (row.router) rules.insert(*row.router + " " + *row.capacity);
  }
  constexpr size_t kFewestRules = 3;
  if (rules.size() < kFewestRules) return;
  Table table;
  table.columns = columns_of<RouterRow>();
  table.source =
      "scope and causality: of the router and its capacity rule together, in training and in evaluation "
      "(docs/routers.md); loss_before: held-out loss on the old data at the end of the last phase before that "
      "trained on it, else as in forgetting; the other losses, "
      "the evaluation's MRI (mean over layers) and the dead experts (those that no held-out token reaches, over all "
      "layers): after the last phase; MRI before, at the peak and steps to recover as in shift_mri; "
      "dropped: mean over the last phase's steps and layers";
  const Table& shift = train::find_table(tables, "shift_mri");
  for (const auto& arm : arms) {
    RouterRow row = rule_of(arm);
    const auto* last = train::final_evaluation(arm, train::last_phase(arm));
    const auto [old_data, new_data] = train::shift_sets(arm);
    row.old_data = old_data;
    row.new_data = new_data;
    add_losses(row, arm, last);
    if (const auto at_shift = shift_row(shift, arm)) {
      row.mri_before = at_shift->before;
      row.mri_peak = at_shift->peak;
      row.steps_to_recover = at_shift->steps_to_recover;
    }
    row.eval_mri_old = eval_mri_of(last, row.old_data);
    row.eval_mri_new = eval_mri_of(last, row.new_data);
    row.eval_mri_old_se = train::mri_se_at_end(arm, row.old_data);
    row.eval_mri_new_se = train::mri_se_at_end(arm, row.new_data);
    row.dropped = arm.phases.empty() ? std::nullopt : arm.phases.back().mean_dropped();
    row.dead = dead_of(last);
    add_row(table, row);
  }
  tables.emplace_back("routers", std::move(table));
}

}  // namespace evenkeel::study
