#include "train/objective_words.h"

#include <algorithm>
#include <vector>

#include "core/errors.h"
#include "core/json_value.h"

namespace evenkeel::train {

std::string objective_kind(const Json* objective) {
  const Json* kind = objective != nullptr && objective->is_object() ? find_value(*objective, "kind") : nullptr;
  return kind != nullptr ? kind->as_string() : "causal";
}

std::string objective_words(const Json& phase) {
  const std::string of_phase = objective_kind(find_value(phase, "objective"));
  std::vector<std::string> kinds;
  std::string out;
  const auto add = [&](const std::string& kind) {
    if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) return;
    kinds.push_back(kind);
    add_to_list(out, kind);
  };
  if (const Json* data = find_value(phase, "data"))
    for (const auto& source : data->as_array()) {
      const Json* own = find_value(source, "objective");
      add(own != nullptr ? objective_kind(own) : of_phase);
    }
  return kinds.empty() ? of_phase : out;
}

std::string eval_objective(const Json& phase, const std::string& set) {
  const Json* eval = find_value(phase, "eval");
  if (eval == nullptr) return "causal";
  for (const auto& source : eval->at("data").as_array())
    if (source.at("name").as_string() == set) return objective_kind(find_value(source, "objective"));
  return "causal";
}

}  // namespace evenkeel::train
