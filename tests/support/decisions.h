// Routing decisions made by hand, for tests of what is computed from them.
#pragma once

#include <vector>

#include <ATen/ops/arange.h>

#include "moe/router.h"
#include "ops/top_k.h"

namespace evenkeel::testing {

// Plain top-k of logits [T, E] with softmax scores; weights are left out.
inline moe::RoutingDecision plain_decision(const at::Tensor& logits, int64_t top_k, int64_t n_sequences = 1,
                                           const at::Tensor& is_padding = {}) {
  moe::RoutingDecision out;
  out.n_tokens = logits.size(0);
  out.n_experts = logits.size(1);
  out.top_k = top_k;
  out.n_sequences = n_sequences;
  out.logits = logits;
  out.expert_ids = ops::top_k_ids(logits.detach(), top_k).reshape({-1});
  out.token_ids = at::arange(out.n_tokens, out.expert_ids.options()).repeat_interleave(top_k);
  out.is_padding = is_padding;
  return out;
}

// The tokens first .. first + count - 1 of a decision in which every token has its K assignments: what the same router
// would have given for that part of the batch. n_sequences is that of the part.
inline moe::RoutingDecision part_of(const moe::RoutingDecision& whole, int64_t first, int64_t count,
                                    int64_t n_sequences) {
  moe::RoutingDecision out = whole;
  const int64_t k = whole.top_k;
  out.n_tokens = count;
  out.n_sequences = n_sequences;
  out.logits = whole.logits.narrow(0, first, count);
  out.token_ids = whole.token_ids.narrow(0, first * k, count * k) - first;
  out.expert_ids = whole.expert_ids.narrow(0, first * k, count * k);
  if (whole.dropped.defined()) out.dropped = whole.dropped.narrow(0, first * k, count * k);
  if (whole.is_padding.defined()) out.is_padding = whole.is_padding.narrow(0, first, count);
  return out;
}

}  // namespace evenkeel::testing
