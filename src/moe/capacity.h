// Expert capacity: how many assignments an expert takes of a group of tokens, and which are dropped.
#pragma once

#include <string>

#include "core/config_tree.h"
#include "moe/router.h"

namespace evenkeel::moe {

// [model.capacity]: a rule by name, and keys that change it. An empty rule is dropless.
struct CapacityConfig {
  std::string rule;         // a name of capacity_rules()
  double factor_train = 0;  // capacity = factor * tokens of the group / E (* k), rounded
  double factor_eval = 0;
  int64_t minimum = 0;       // least capacity
  std::string rounding;      // ceil, floor, half_even, floor_to_even
  bool times_k = false;      // the k slots of a token count in the capacity
  int64_t group_size = 0;    // tokens a group; 0 = the micro-batch
  std::string priority;      // who comes first: first_choices, position, probs, best_first (BPR), random
  bool pad = false;          // every expert processes exactly its capacity
  bool renormalize = false;  // the weights that are left of a token sum to what they summed to
  bool is_dropless() const { return rule.empty(); }
};
void read_value(const ConfigNode& node, const std::string& path, CapacityConfig& out);
Json to_json(const CapacityConfig& config);

// Marks what is over capacity in decision.dropped, sets decision.capacity, and the weights where the rule
// changes them. Nothing for a dropless config. In Mode::eval the group is a sequence, so that results do not
// depend on the batch.
void apply_capacity(const CapacityConfig& config, const RouterInput& input, RoutingDecision& decision);

}  // namespace evenkeel::moe
