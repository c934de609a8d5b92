#include "ops/attention.h"

#include <limits>
#include <optional>

#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cummax.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/tril.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

namespace evenkeel::ops {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// 0, and -inf where `is_hidden`.
at::Tensor hidden_where(const at::Tensor& is_hidden, at::TensorOptions options) {
  return at::zeros(is_hidden.sizes(), options).masked_fill_(is_hidden, -std::numeric_limits<double>::infinity());
}

at::Tensor causal_mask(int64_t length, at::TensorOptions options) {
  return hidden_where(at::ones({1, 1, length, length}, options.dtype(at::kBool)).triu(1), options);
}

at::Tensor heads_first(const at::Tensor& x) { return x.transpose(1, 2); }
std::optional<at::Tensor> optional_mask(const AttentionForm& form) {
  return form.mask.defined() ? std::optional(form.mask) : std::nullopt;
}
std::optional<double> optional_scale(const AttentionForm& form) {
  return form.scale != 0 ? std::optional(form.scale) : std::nullopt;
}

// Attention with sinks from that without, so that no scores of S x S are kept. With L the log of the sum of the exp of
// a position's scores and L' = log(exp(L) + exp(sink)), each weight shrinks by exp(L - L'). The backward pass of plain
// attention makes its weights exp(score - L) from the L that it is given, and the sum of weight times gradient from the
// output; with L' and the shrunk output both are those of attention with sinks.
// query, key, value: [B, heads, S, D] on the CPU. sinks: [heads].
struct SinkAttentionFunction : torch::autograd::Function<SinkAttentionFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const at::Tensor& sinks, const AttentionForm& form) {
    const auto mask = optional_mask(form);
    auto [out, log_sum] = at::_scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, !mask.has_value(),
                                                                          mask, optional_scale(form));
    const auto with_sinks = at::logaddexp(log_sum, sinks.to(log_sum.scalar_type()).view({1, -1, 1}));
    out = (out * (log_sum - with_sinks).exp_().unsqueeze(3)).to(query.scalar_type());
    context->save_for_backward({query, key, value, sinks, out, with_sinks, form.mask});
    context->saved_data["scale"] = optional_scale(form);
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto &sinks = saved[3], &out = saved[4], &log_sum = saved[5], &mask = saved[6];
    const auto [query, key, value] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        grads[0], saved[0], saved[1], saved[2], out, log_sum, 0.0, !mask.defined(),
        mask.defined() ? std::optional(mask) : std::nullopt, context->saved_data["scale"].toOptional<double>());
    // The sink has no value, so that its gradient is minus its weight times the sum that softmax's gradient subtracts.
    const auto weight = (sinks.to(log_sum.scalar_type()).view({1, -1, 1}) - log_sum).exp_();
    const auto of_sinks = (weight * (grads[0] * out).sum(3)).sum({0, 2}).neg_().to(sinks.scalar_type());
    return {query, key, value, of_sinks, at::Tensor()};
  }
};

// A key and a value of zeros after the others: its score is the sink's logit alone, which stands in the mask.
at::Tensor with_zero_position(const at::Tensor& x) {
  return at::cat({x, at::zeros({x.size(0), 1, x.size(2), x.size(3)}, x.options())}, 1);
}

// [B or 1, heads, S, S + 1]: the mask, and a last column of the sinks.
at::Tensor mask_with_sinks(const at::Tensor& query, const at::Tensor& mask, const at::Tensor& sinks) {
  const int64_t length = query.size(1), heads = query.size(2);
  const auto seen = mask.defined() ? mask : causal_mask(length, query.options());
  const auto column = sinks.view({1, heads, 1, 1}).expand({seen.size(0), heads, length, 1});
  return at::cat({seen.expand({seen.size(0), heads, length, length}), column}, 3);
}

}  // namespace

at::Tensor causal_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const AttentionForm& form) {
  const int64_t batch = query.size(0), length = query.size(1), groups = query.size(2) / key.size(2);
  auto k = groups == 1 ? key : key.repeat_interleave(groups, 2);
  auto v = groups == 1 ? value : value.repeat_interleave(groups, 2);
  const auto joined = [&](const at::Tensor& out) { return heads_first(out).reshape({batch, length, -1}); };
  auto bias = optional_mask(form);
  if (form.sinks.defined()) {
    if (query.is_cpu() && query.size(3) == value.size(3))
      return joined(SinkAttentionFunction::apply(heads_first(query), heads_first(k), heads_first(v), form.sinks, form));
    bias = mask_with_sinks(query, form.mask, form.sinks);
    k = with_zero_position(k);
    v = with_zero_position(v);
  }
  return joined(at::scaled_dot_product_attention(heads_first(query), heads_first(k), heads_first(v), bias, 0.0,
                                                 /*is_causal=*/!bias.has_value(), optional_scale(form)));
}

double mean_seen(const Sight& sight, int64_t length) {
  const auto all = static_cast<double>(length), window = static_cast<double>(sight.window);
  return sight.window == 0 || sight.window >= length ? all / 2 : window - window * window / (2 * all);
}

at::Tensor attention_mask(const Sight& sight, const SequenceParts& parts, int64_t length, at::TensorOptions options) {
  const bool is_windowed = sight.window > 0 && sight.window < length;
  if (!parts.segments.defined() && !parts.is_prefix.defined() && !is_windowed) return {};
  auto sees = at::ones({1, length, length}, options.dtype(at::kBool)).tril();
  if (is_windowed) sees = sees.triu(1 - sight.window);
  if (const auto& is_prefix = parts.is_prefix; is_prefix.defined())
    sees = sees.logical_or(is_prefix.unsqueeze(2).logical_and(is_prefix.unsqueeze(1)));
  if (const auto& segments = parts.segments; segments.defined())
    sees = sees.logical_and(segments.unsqueeze(2).eq(segments.unsqueeze(1)));
  return hidden_where(sees.logical_not().unsqueeze(1), options);
}

at::Tensor segment_starts(const at::Tensor& document_ids) {
  const int64_t length = document_ids.size(1);
  const auto index = at::arange(length, document_ids.options().dtype(at::kLong)).expand(document_ids.sizes());
  const auto first = at::ones({document_ids.size(0), 1}, document_ids.options().dtype(at::kBool));
  const auto changes =
      at::cat({first, document_ids.narrow(1, 1, length - 1).ne(document_ids.narrow(1, 0, length - 1))}, 1);
  return std::get<0>(at::cummax(at::where(changes, index, at::zeros_like(index)), 1));
}

}  // namespace evenkeel::ops
