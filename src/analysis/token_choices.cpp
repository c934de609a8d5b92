#include "analysis/token_choices.h"

#include "core/errors.h"

namespace evenkeel::analysis {

TokenChoices::TokenChoices(const moe::RoutingDecision& decision, int64_t n_tokens, int64_t n_experts) {
  require<DataError>(decision.n_tokens == n_tokens && decision.n_experts == n_experts, "routing of layer ",
                     decision.layer, ": got ", decision.n_tokens, " tokens and ", decision.n_experts, " experts; need ",
                     n_tokens, " and ", n_experts);
  const int64_t n_assignments = decision.expert_ids.size(0);
  const int64_t* tokens = decision.token_ids.const_data_ptr<int64_t>();
  experts_ = decision.expert_ids.const_data_ptr<int64_t>();
  begin_.resize(static_cast<size_t>(n_tokens) + 1);
  std::vector<int64_t> last_token(static_cast<size_t>(n_experts), -1);  // [E] that chose the expert
  int64_t n = 0;
  for (int64_t t = 0; t < n_tokens; ++t) {
    begin_[static_cast<size_t>(t)] = n;
    for (; n < n_assignments && tokens[n] == t; ++n) {
      const int64_t expert = experts_[n];
      require<DataError>(expert >= 0 && expert < n_experts, "routing of layer ", decision.layer, ", token ", t,
                         ": got expert ", expert, "; need 0..", n_experts - 1);
      require<DataError>(last_token[static_cast<size_t>(expert)] != t, "routing of layer ", decision.layer, ", token ",
                         t, ": got expert ", expert, " twice; need different ones");
      last_token[static_cast<size_t>(expert)] = t;
    }
  }
  begin_[static_cast<size_t>(n_tokens)] = n;
  require<DataError>(n == n_assignments, "routing of layer ", decision.layer, ": got token ",
                     n < n_assignments ? tokens[n] : 0, " at assignment ", n,
                     "; need tokens in ascending order, below ", n_tokens);
}

}  // namespace evenkeel::analysis
