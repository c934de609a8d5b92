// The language-model head and its cross-entropy in one, so that logits exist a chunk of rows at a time.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// Logits of rows [T, V] in fp32 (fp64 for fp64 models), the same bits as the losses below see when it is called with
// the same chunks of kChunkRows rows, counted from the first.
inline constexpr int64_t kChunkRows = 512;
at::Tensor head_logits(const at::Tensor& hidden, const at::Tensor& head);

// Sum over targets of -log softmax(hidden W^T)[target], in nats; the caller divides.
//   hidden [T, H], head [V, H], targets [T] i64, -1 = ignore (padding)
// Returns a scalar of hidden's dtype, differentiable in hidden and head (the gradients are made in the
// forward pass, chunk by chunk; never more than one chunk of [kChunkRows, V] twice in memory). The sum over
// tokens is in fp64. A gradient is prepared only where it is needed.
at::Tensor cross_entropy_sum(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets);

// The same with a loss that holds the logits' scale (T5X's z_loss): z is the sum over targets of logsumexp^2 of their
// logits, and what is minimised is cross-entropy + z_coefficient z. One pass over the chunks makes both.
struct HeadLosses {
  at::Tensor minimised;         // a scalar, differentiable in hidden and head
  at::Tensor cross_entropy, z;  // sums, without gradient
};
HeadLosses head_losses(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                       double z_coefficient);

// [T] of the same losses, without gradient; ignored targets give 0. `predicted` (may be null) gets the arg max [T] i64,
// ties to the lower id.
at::Tensor cross_entropy_per_token(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                                   at::Tensor* predicted = nullptr);

}  // namespace evenkeel::ops
