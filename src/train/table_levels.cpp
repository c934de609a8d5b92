#include "train/table_levels.h"

#include <set>

namespace evenkeel::train {
namespace {

template <class T>
std::optional<T> only(const std::set<T>& values) {
  return values.size() == 1 ? std::optional<T>(*values.begin()) : std::nullopt;
}

std::set<double> values_of(const Table& table, const std::string& column) {
  std::set<double> out;
  for (const auto& row : table.rows)
    if (const Json& value = row.at(table.column(column)); value.is_number()) out.insert(value.as_double());
  return out;
}

}  // namespace

void set_levels(const std::vector<Arm>& arms, NamedTables& tables) {
  std::set<int64_t> step_tokens, held_out_tokens;
  std::set<double> lower_bounds;
  for (const auto& arm : arms) {
    const Json& train = arm.resolved.at("train");
    step_tokens.insert(train.at("batch_size").as_int() * train.at("sequence_length").as_int());
    for (const auto& evaluation : arm.evaluations)
      for (const auto& [data, result] : evaluation.eval)
        if (result.tokens) held_out_tokens.insert(*result.tokens);
    const Json bound = arm_json(arm, "").at("lower_bound");
    if (!bound.is_null()) lower_bounds.insert(bound.as_double());
  }
  for (auto& [name, table] : tables) {
    if (table.rows.empty()) continue;
    if (name == "forgetting" || name == "eval_mri" || name == "saturation") table.tokens = only(held_out_tokens);
    if (name == "shift_mri") table.tokens = only(step_tokens);
    if (name == "shift_mri" || name == "eval_mri") table.chance = only(lower_bounds);
    if (name == "saturation") table.chance = only(values_of(table, "chance"));
  }
}

}  // namespace evenkeel::train
