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
  at::Tensor losses;  // [C], 0 where ignored
};

// logits of a chunk of rows, their softmax, and the losses: lse = max - log(probability of the max).
Chunk score_chunk(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets) {
  Chunk out;
  out.logits = head_logits(hidden, head);
  out.probs = at::_softmax(out.logits, 1, false);
  const auto lse = at::amax(out.logits, {1}) - at::amax(out.probs, {1}).log();
  const auto is_ignored = targets.lt(0);
  const auto picked = out.logits.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1);
  out.losses = (lse - picked).masked_fill(is_ignored, 0.0);
  return out;
}

struct CrossEntropyFunction : torch::autograd::Function<CrossEntropyFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden, const at::Tensor& head,
                            const at::Tensor& targets, bool needs_hidden, bool needs_head) {
    const int64_t n_rows = hidden.size(0);
    const auto grad_hidden = needs_hidden ? at::empty_like(hidden) : at::Tensor();
    const auto grad_head = needs_head ? at::zeros_like(head) : at::Tensor();
    auto total = at::zeros({}, hidden.options().dtype(at::kDouble));
    for (int64_t begin = 0; begin < n_rows; begin += kChunkRows) {
      const int64_t rows = std::min(kChunkRows, n_rows - begin);
      const auto chunk_hidden = hidden.narrow(0, begin, rows);
      const auto chunk_targets = targets.narrow(0, begin, rows);
      auto chunk = score_chunk(chunk_hidden, head, chunk_targets);
      total += chunk.losses.sum(at::kDouble);
      if (!needs_hidden && !needs_head) continue;
      // d loss / d logits = softmax - one-hot, 0 for ignored rows
      auto grad = std::move(chunk.probs);
      const auto kept = chunk_targets.ge(0).to(grad.scalar_type()).unsqueeze(1);
      grad.scatter_add_(1, chunk_targets.clamp_min(0).unsqueeze(1), -at::ones_like(kept));
      grad = grad.mul_(kept).to(hidden.scalar_type());
      if (needs_hidden) {
        auto target = grad_hidden.narrow(0, begin, rows);
        at::mm_out(target, grad, head);
      }
      if (needs_head) grad_head.addmm_(grad.t(), chunk_hidden);
    }
    context->save_for_backward({grad_hidden, grad_head});
    return total.to(hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto scaled = [&](const at::Tensor& grad) {
      return grad.defined() ? grad * grads[0].to(grad.scalar_type()) : grad;
    };
    return {scaled(saved[0]), scaled(saved[1]), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor head_logits(const at::Tensor& hidden, const at::Tensor& head) {
  const auto logits = at::mm(hidden, head.t());
  return logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
}

at::Tensor cross_entropy_sum(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets) {
  const bool grad_mode = at::GradMode::is_enabled();
  return CrossEntropyFunction::apply(hidden, head, targets, grad_mode && hidden.requires_grad(),
                                     grad_mode && head.requires_grad());
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
