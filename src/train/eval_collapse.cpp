#include "train/eval_collapse.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace evenkeel::train {
namespace {

using record::Alarm;

constexpr int64_t kAssignmentsPerExpert = 8;  // of a uniform router e^-8 of the experts then have none

double share_of_largest(std::vector<double> load, int64_t n) {
  std::sort(load.begin(), load.end(), std::greater<>());
  return std::accumulate(load.begin(), load.begin() + static_cast<std::ptrdiff_t>(n), 0.0);
}

}  // namespace

std::vector<Alarm> find_eval_collapse(const record::SetResult& result, int64_t n_experts, int64_t top_k) {
  std::vector<Alarm> out;
  // Lines of before there was a count of tokens do not say it.
  const bool is_small = result.tokens && (*result.tokens < Alarm::kFewestTokens ||
                                          *result.tokens * top_k < kAssignmentsPerExpert * n_experts);
  if (is_small || n_experts <= top_k) return out;
  const std::string share = std::to_string(top_k) + " of " + std::to_string(n_experts) + " experts";
  for (const auto& layer : result.routing) {
    const bool has_load = static_cast<int64_t>(layer.load.size()) == n_experts;
    if (has_load && share_of_largest(layer.load, top_k) >= Alarm::kNearlyAll) {
      out.push_back({layer.layer, Alarm::Kind::same_experts, "nearly all tokens have the same " + share});
    } else if (layer.mri >= Alarm::kNearlyAll && 2 * top_k <= n_experts) {
      out.push_back({layer.layer, Alarm::Kind::one_expert,
                     "nearly all tokens have one and the same expert among their " + share});
    } else if (2 * layer.dead > n_experts) {
      out.push_back({layer.layer, Alarm::Kind::unused_experts, "more than half of the layer's experts get no token"});
    }
  }
  return out;
}

}  // namespace evenkeel::train
