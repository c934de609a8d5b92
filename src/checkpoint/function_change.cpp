#include "checkpoint/function_change.h"

#include <algorithm>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>

#include "checkpoint/open_weights.h"
#include "checkpoint/router_states.h"
#include "core/rng.h"
#include "model/transformer.h"

namespace evenkeel::checkpoint {
namespace {

struct Outputs {
  at::Tensor hidden, head;  // [T, H], [V, H]
  at::Tensor logits(int64_t first, int64_t count) const {
    return hidden.narrow(0, first, count).matmul(head.t()).to(at::kDouble);
  }
};

Outputs outputs_of(const ModelSource& source, const at::Tensor& inputs) {
  const model::Transformer model(source.config);
  const auto stored = open_weights(source, {});
  const auto states = load_router_states(source, model);
  const ops::Params none;
  const model::Snapshot values{none, states, stored.get()};
  model::ModelInput input;
  input.tokens = inputs;
  input.mode = moe::Mode::eval;
  return {model.forward_stored(values, {input})[0].hidden, model.head(values)};
}

}  // namespace

FunctionChange function_change(const ModelSource& parent, const ModelSource& other, const at::Tensor& tokens) {
  const at::NoGradGuard no_grad;
  const auto inputs = tokens.narrow(1, 0, tokens.size(1) - 1).contiguous();
  const auto targets = tokens.narrow(1, 1, tokens.size(1) - 1).reshape({-1, 1});
  const auto before = outputs_of(parent, inputs), after = outputs_of(other, inputs);
  FunctionChange out;
  out.n_tokens = targets.size(0);
  constexpr int64_t kChunk = 32;  // positions whose logits are in memory
  for (int64_t first = 0; first < out.n_tokens; first += kChunk) {
    const int64_t count = std::min(kChunk, out.n_tokens - first);
    const auto p = before.logits(first, count), q = after.logits(first, count);
    const auto change = (q - p).abs();
    const auto log_p = at::log_softmax(p, 1), log_q = at::log_softmax(q, 1);
    const auto target = targets.narrow(0, first, count);
    out.mean_logit_change += change.mean(1).sum().item<double>();
    out.largest_logit_change = std::max(out.largest_logit_change, change.max().item<double>());
    out.kl += (log_p.exp() * (log_p - log_q)).sum().item<double>();
    out.parent_loss -= log_p.gather(1, target).sum().item<double>();
    out.loss -= log_q.gather(1, target).sum().item<double>();
  }
  for (double* mean : {&out.mean_logit_change, &out.kl, &out.parent_loss, &out.loss})
    *mean /= static_cast<double>(out.n_tokens);
  return out;
}

at::Tensor random_tokens(int64_t n, int64_t length, int64_t vocab_size, uint64_t seed) {
  auto out = at::empty({n, length + 1}, at::kLong);
  RngStream rng(seed, "random tokens");
  int64_t* to = out.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < out.numel(); ++i) to[i] = static_cast<int64_t>(rng.below(static_cast<uint64_t>(vocab_size)));
  return out;
}

}  // namespace evenkeel::checkpoint
