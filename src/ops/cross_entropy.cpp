#include "ops/cross_entropy.h"

#include <ATen/ops/_softmax.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/scatter_add.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Chunk {
  at::Tensor logits;  // [C, V] fp32 or wider
  at::Tensor probs;   // [C, V]
  at::Tensor lse;     // [C] logsumexp
  at::Tensor losses;  // [C], 0 where ignored
};

// logits of a chunk of rows, their softmax, and the losses: lse = max - log(probability of the max).
Chunk score_chunk(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets) {
  Chunk out;
  out.logits = head_logits(hidden, head);
  out.probs = at::_softmax(out.logits, 1, false);
  out.lse = at::amax(out.logits, {1}) - at::amax(out.probs, {1}).log();
  const auto is_ignored = targets.lt(0);
  const auto picked = out.logits.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1);
  out.losses = (out.lse - picked).masked_fill(is_ignored, 0.0);
  return out;
}

// What the forward pass is asked for.
struct Wanted {
  bool grad_hidden = false, grad_head = false;
  double z_coefficient = 0;
};

// d (loss + z_coefficient lse^2) / d logits = (1 + 2 z_coefficient lse) softmax - one-hot, 0 for ignored rows; in place
// of the chunk's softmax.
at::Tensor gradient_of_logits(Chunk& chunk, const at::Tensor& targets, double z_coefficient) {
  auto grad = std::move(chunk.probs);
  const auto kept = targets.ge(0).to(grad.scalar_type()).unsqueeze(1);
  if (z_coefficient != 0) grad.mul_((chunk.lse * (2 * z_coefficient) + 1).unsqueeze(1));
  grad.scatter_add_(1, targets.clamp_min(0).unsqueeze(1), -at::ones_like(kept));
  return grad.mul_(kept);
}

// Of hidden [T, H], head and targets: what is minimised, the cross-entropy and z, each summed over targets. The first
// alone has a gradient.
struct HeadLossFunction : torch::autograd::Function<HeadLossFunction> {
  static variable_list forward(AutogradContext* context, const at::Tensor& hidden, const at::Tensor& head,
                               const at::Tensor& targets, const Wanted& wanted) {
    const int64_t n_rows = hidden.size(0);
    const auto grad_hidden = wanted.grad_hidden ? at::empty_like(hidden) : at::Tensor();
    const auto grad_head = wanted.grad_head ? at::zeros_like(head) : at::Tensor();
    auto cross_entropy = at::zeros({}, hidden.options().dtype(at::kDouble)), z = at::zeros_like(cross_entropy);
    for (int64_t begin = 0; begin < n_rows; begin += kChunkRows) {
      const int64_t rows = std::min(kChunkRows, n_rows - begin);
      const auto chunk_hidden = hidden.narrow(0, begin, rows);
      const auto chunk_targets = targets.narrow(0, begin, rows);
      auto chunk = score_chunk(chunk_hidden, head, chunk_targets);
      cross_entropy += chunk.losses.sum(at::kDouble);
      if (wanted.z_coefficient != 0)
        z += chunk.lse.to(at::kDouble).square().masked_fill(chunk_targets.lt(0), 0.0).sum();
      if (!wanted.grad_hidden && !wanted.grad_head) continue;
      const auto grad = gradient_of_logits(chunk, chunk_targets, wanted.z_coefficient).to(hidden.scalar_type());
      if (wanted.grad_hidden) {
        auto target = grad_hidden.narrow(0, begin, rows);
        at::mm_out(target, grad, head);
      }
      if (wanted.grad_head) grad_head.addmm_(grad.t(), chunk_hidden);
    }
    context->save_for_backward({grad_hidden, grad_head});
    const auto type = hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const auto minimised = wanted.z_coefficient != 0 ? (cross_entropy + z * wanted.z_coefficient).to(type)
                                                     : cross_entropy.to(type, false, true);
    context->mark_non_differentiable({cross_entropy, z});
    return {minimised, cross_entropy, z};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto scaled = [&](const at::Tensor& grad) {
      return grad.defined() ? grad * grads[0].to(grad.scalar_type()) : grad;
    };
    return {scaled(saved[0]), scaled(saved[1]), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor head_logits(const at::Tensor& hidden, const at::Tensor& head) {
  const auto logits = at::mm(hidden, head.t());
  return logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
}

HeadLosses head_losses(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                       double z_coefficient) {
  const bool grad_mode = at::GradMode::is_enabled();
  const auto out = HeadLossFunction::apply(
      hidden, head, targets,
      Wanted{grad_mode && hidden.requires_grad(), grad_mode && head.requires_grad(), z_coefficient});
  return {out[0], out[1], out[2]};
}

at::Tensor cross_entropy_sum(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets) {
  return head_losses(hidden, head, targets, 0).minimised;
}

at::Tensor cross_entropy_per_token(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                                   at::Tensor* predicted) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> losses, ids;
  for (int64_t begin = 0; begin < hidden.size(0); begin += kChunkRows) {
    const int64_t rows = std::min(kChunkRows, hidden.size(0) - begin);
    const auto chunk = score_chunk(hidden.narrow(0, begin, rows), head, targets.narrow(0, begin, rows));
    losses.push_back(chunk.losses);
    if (predicted != nullptr) ids.push_back(chunk.logits.argmax(1));
  }
  if (predicted != nullptr) *predicted = ids.empty() ? at::zeros_like(targets) : at::cat(ids);
  return losses.empty() ? at::zeros({0}, hidden.options()) : at::cat(losses);
}

}  // namespace evenkeel::ops
