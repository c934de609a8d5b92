#include "study/router_table.h"

#include <algorithm>
#include <map>
#include <set>

#include "model/layout.h"
#include "moe/capacity_config.h"
#include "study/comparison.h"
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

// What router_table_keys() lists, for one arm: its rule, the router's and its capacity's together. All but the data are null for a dense arm.
std::vector<Json> keys_of(const Arm& arm, const std::string& old_data, const std::string& new_data) {
  const auto config = train::arm_model(arm);
  if (!config.is_moe()) return {{}, {}, {}, {}, {}, {}, {}, old_data, new_data, {}, {}};
  const auto router = moe::make_router(config.router_shape(), config.router);
  const auto traits = router->traits();
  const auto drops = moe::capacity_traits(config.capacity, config.top_k);
  int64_t n_experts = 0;
  for (int64_t layer = 0; layer < config.n_layers; ++layer)
    if (config.has_experts(layer)) n_experts += config.n_experts;
  return {router->options().at("kind"), config.capacity.rule, word_of(std::max(traits.train_scope, drops.train_scope)), word_of(std::max(traits.eval_scope, drops.eval_scope)), traits.causal_train && drops.is_causal, traits.causal_eval && drops.is_causal, routing_words(arm).balance, old_data, new_data, model::experts_per_token(config) / static_cast<double>(config.n_experts), n_experts};
}

const std::string& phase_name(const Arm& arm, bool last) {
  const auto& phases = arm.resolved.at("phase").as_array();
  return (last ? phases.back() : phases.front()).at("name").as_string();
}

// The last evaluation of a phase, null where there is none.
const Json* evaluation_of(const Arm& arm, const std::string& phase) {
  const Json* out = nullptr;
  for (const auto& line : arm.evaluations)
    if (line.at("phase").as_string() == phase) out = &line.at("eval");
  return out;
}

Json loss_of(const Json* evaluation, const std::string& data) {
  const Json* result = evaluation == nullptr ? nullptr : evaluation->find(data);
  return result == nullptr ? Json() : result->at("loss");
}

// Mean over layers.
Json eval_mri_of(const Json* evaluation, const std::string& data) {
  const Json* result = evaluation == nullptr ? nullptr : evaluation->find(data);
  if (result == nullptr || result->at("routing").size() == 0) return {};
  double sum = 0;
  for (const auto& layer : result->at("routing").as_array()) sum += layer.at("mri").as_double();
  return sum / static_cast<double>(result->at("routing").size());
}

// Experts of all layers that no token of any held-out set reaches.
Json dead_of(const Json* evaluation) {
  if (evaluation == nullptr) return {};
  std::map<std::pair<int64_t, size_t>, bool> is_dead;
  for (const auto& [data, result] : evaluation->as_object())
    for (const auto& layer : result.at("routing").as_array()) {
      const Json* loads = layer.find("load");
      if (loads == nullptr) return {};  // thinned or made by hand
      const auto& load = loads->as_array();
      for (size_t expert = 0; expert < load.size(); ++expert) {
        const auto [entry, is_new] = is_dead.emplace(std::pair(layer.at("layer").as_int(), expert), true);
        entry->second = entry->second && load[expert].as_double() == 0;
      }
    }
  if (is_dead.empty()) return {};
  return static_cast<int64_t>(std::count_if(is_dead.begin(), is_dead.end(), [](const auto& entry) { return entry.second; }));
}

// Mean share of the assignments that were dropped, over the steps and layers of a phase.
Json dropped_of(const Arm& arm, const std::string& phase) {
  double sum = 0;
  int64_t n = 0;
  for (const auto& step : arm.steps) {
    if (step.at("phase").as_string() != phase) continue;
    for (const auto& layer : step.at("routing").as_array()) {
      sum += layer.at("dropped").as_double();
      ++n;
    }
  }
  return n == 0 ? Json() : Json(sum / static_cast<double>(n));
}

// The row of shift_mri over all layers, for the arm's last phase; null where nothing shifted.
const std::vector<Json>* shift_row(const Table& table, const Arm& arm) {
  for (const auto& row : table.rows)
    if (row[0].as_string() == arm.name && row[table.column("layer")].is_null() && row[1].as_string() == phase_name(arm, true)) return &row;
  return nullptr;
}

Json difference(const Json& later, const Json& earlier) {
  return later.is_null() || earlier.is_null() ? Json() : Json(later.as_double() - earlier.as_double());
}

}  // namespace

const std::vector<std::string>& router_table_keys() {
  static const std::vector<std::string> keys = {"router", "capacity", "scope", "eval_scope", "causal", "eval_causal", "balance", "old_data", "new_data", "lower_bound", "experts"};
  return keys;
}

void add_router_table(const std::vector<Arm>& arms, train::NamedTables& tables) {
  std::set<std::string> rules;
  for (const auto& arm : arms) {
    const auto keys = keys_of(arm, "", "");
    if (!keys[0].is_null()) rules.insert(keys[0].as_string() + " " + keys[1].as_string());
  }
  constexpr size_t kFewestRules = 3;
  if (rules.size() < kFewestRules) return;
  Table table;
  table.columns = {{"arm", ""}, {"router", ""}, {"capacity", ""}, {"scope", ""}, {"eval_scope", ""}, {"causal", ""}, {"eval_causal", ""}, {"balance", ""}, {"old_data", ""}, {"new_data", ""}, {"lower_bound", "share of tokens"}, {"experts", "experts"}, {"loss_before", "nats/token"}, {"loss_old", "nats/token"}, {"loss_new", "nats/token"}, {"forgetting", "nats/token"}, {"mri_before", "share of tokens"}, {"mri_peak", "share of tokens"}, {"steps_to_recover", "steps"}, {"eval_mri_old", "share of tokens"}, {"eval_mri_new", "share of tokens"}, {"dropped", "share of assignments"}, {"dead", "experts"}};
  table.source =
      "scope and causality: of the router and its capacity rule together, in training and in evaluation (docs/routers.md); loss_before: held-out loss on the old data after the first phase; the other losses, "
      "the evaluation's MRI (mean over layers) and the dead experts (those that no held-out token reaches, over all layers): after the last phase; MRI before, at the peak and steps to recover as in shift_mri; "
      "dropped: mean over the last phase's steps and layers";
  const Table& shift = train::find_table(tables, "shift_mri");
  for (const auto& arm : arms) {
    const Json* start = train::baseline_evaluation(arm);
    const bool has_before = arm.resolved.at("phase").size() > 1 || train::comes_from_elsewhere(arm);
    const Json *first = has_before && start != nullptr ? &start->at("eval") : nullptr, *last = evaluation_of(arm, phase_name(arm, true));
    const auto [old_data, new_data] = train::shift_sets(arm);
    const auto* at_shift = shift_row(shift, arm);
    const auto shift_figure = [&](const char* column) { return at_shift == nullptr ? Json() : (*at_shift)[shift.column(column)]; };
    const Json before = loss_of(first, old_data), after = loss_of(last, old_data);
    std::vector<Json> row = keys_of(arm, old_data, new_data);
    row.insert(row.begin(), arm.name);
    for (const Json& figure : {before, after, loss_of(last, new_data), difference(after, before), shift_figure("before"), shift_figure("peak"), shift_figure("steps_to_recover"), eval_mri_of(last, old_data), eval_mri_of(last, new_data), dropped_of(arm, phase_name(arm, true)), dead_of(last)}) row.push_back(figure);
    table.add_row(std::move(row));
  }
  tables.emplace_back("routers", std::move(table));
}

}  // namespace evenkeel::study
