#include "ops/attention.h"

#include <limits>
#include <optional>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cummax.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/tril.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

namespace evenkeel::ops {

at::Tensor causal_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const at::Tensor& mask) {
  const int64_t batch = query.size(0), length = query.size(1), groups = query.size(2) / key.size(2);
  const auto by_head = [](const at::Tensor& x) { return x.transpose(1, 2); };
  const auto k = groups == 1 ? key : key.repeat_interleave(groups, 2);
  const auto v = groups == 1 ? value : value.repeat_interleave(groups, 2);
  const std::optional<at::Tensor> bias = mask.defined() ? std::optional(mask) : std::nullopt;
  const auto out = at::scaled_dot_product_attention(by_head(query), by_head(k), by_head(v), bias, 0.0,
                                                    /*is_causal=*/!mask.defined());
  return out.transpose(1, 2).reshape({batch, length, -1});
}

at::Tensor attention_mask(const at::Tensor& segments, const at::Tensor& is_prefix, at::ScalarType dtype) {
  const auto& any = segments.defined() ? segments : is_prefix;
  const int64_t batch = any.size(0), length = any.size(1);
  auto sees = at::ones({length, length}, any.options().dtype(at::kBool)).tril().expand({batch, length, length});
  if (is_prefix.defined()) sees = sees.logical_or(is_prefix.unsqueeze(2).logical_and(is_prefix.unsqueeze(1)));
  if (segments.defined()) sees = sees.logical_and(segments.unsqueeze(2).eq(segments.unsqueeze(1)));
  const double hidden = -std::numeric_limits<double>::infinity();
  return at::zeros({batch, 1, length, length}, any.options().dtype(dtype))
      .masked_fill_(sees.logical_not().unsqueeze(1), hidden);
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
