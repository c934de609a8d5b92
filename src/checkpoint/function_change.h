// How much the function of a model differs from that of another, on given tokens.
#pragma once

#include <ATen/core/Tensor.h>

#include "checkpoint/model_source.h"

namespace evenkeel::checkpoint {

struct FunctionChange {
  double mean_logit_change = 0;  // mean |difference| over positions and the vocabulary
  double largest_logit_change = 0;
  double kl = 0;                     // mean over positions of KL(parent || other), in nats
  double parent_loss = 0, loss = 0;  // mean cross-entropy, in nats
  int64_t n_tokens = 0;              // positions
};
// Both as they are evaluated, in fp32, by weights that stay in their files. tokens: [B, S + 1] i64, below the
// vocabulary, which both share; position j is fed token j and scored on token j + 1.
FunctionChange function_change(const ModelSource& parent, const ModelSource& other, const at::Tensor& tokens);

// [n, S + 1] ids below vocab_size, uniform.
at::Tensor random_tokens(int64_t n, int64_t length, int64_t vocab_size, uint64_t seed);

}  // namespace evenkeel::checkpoint
