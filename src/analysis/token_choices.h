// The experts of each token of one layer's decision, as plain pointers for the inner loops of analyses.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "moe/router.h"

namespace evenkeel::analysis {

// The batch must outlive it. Routing before drops; padding is not left out here.
class TokenChoices {
 public:
  // Checks what a foreign file could have wrong: DataError "WHERE: ..." when tokens are not ascending in [0, T),
  // experts are outside [0, n_experts) or twice at a token, or the shape is not n_tokens and n_experts.
  TokenChoices(const moe::RoutingDecision& decision, int64_t n_tokens, int64_t n_experts);
  int64_t n_tokens() const { return static_cast<int64_t>(begin_.size()) - 1; }
  // Experts of token t, best first: top_k of them, or any number for routers that do not give exactly k.
  std::span<const int64_t> of(int64_t t) const {
    return {experts_ + begin_[static_cast<size_t>(t)], experts_ + begin_[static_cast<size_t>(t) + 1]};
  }
  // Place of token t's first assignment; begin(T) is their number.
  int64_t begin(int64_t t) const { return begin_[static_cast<size_t>(t)]; }

 private:
  std::vector<int64_t> begin_;  // [T + 1]
  const int64_t* experts_ = nullptr;
};

}  // namespace evenkeel::analysis
