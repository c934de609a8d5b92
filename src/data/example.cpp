#include "data/example.h"

#include <algorithm>
#include <stdexcept>

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

namespace evenkeel::data {

namespace {

void require_shape(const Example& example, int64_t length) {
  const size_t n = example.tokens.size();
  const auto fits = [&](size_t size) { return size == 0 || size == n; };
  if (n > static_cast<size_t>(length) || example.targets.size() != n || !fits(example.document_ids.size()) ||
      !fits(example.is_prefix.size()))
    throw std::logic_error("an example that is longer than its row, or whose parts differ in length");
}

void put(const auto& values, at::Tensor& rows, size_t row) {
  using Value = typename std::decay_t<decltype(values)>::value_type;
  std::copy(values.begin(), values.end(), rows.mutable_data_ptr<Value>() + static_cast<int64_t>(row) * rows.size(1));
}

}  // namespace

Example packed(std::span<const Example> examples) {
  Example out;
  bool has_prefix = false;
  for (const auto& example : examples) has_prefix = has_prefix || !example.is_prefix.empty();
  for (size_t i = 0; i < examples.size(); ++i) {
    const Example& example = examples[i];
    out.tokens.insert(out.tokens.end(), example.tokens.begin(), example.tokens.end());
    out.targets.insert(out.targets.end(), example.targets.begin(), example.targets.end());
    out.document_ids.insert(out.document_ids.end(), example.tokens.size(), static_cast<int32_t>(i));
    if (!has_prefix) continue;
    out.is_prefix.insert(out.is_prefix.end(), example.is_prefix.begin(), example.is_prefix.end());
    out.is_prefix.resize(out.tokens.size());
  }
  return out;
}

Batch batch_of(std::span<const Example> examples, int64_t length) {
  const auto any = [&](const auto& has) { return std::any_of(examples.begin(), examples.end(), has); };
  const std::vector<int64_t> shape = {static_cast<int64_t>(examples.size()), length};
  Batch out;
  out.tokens = at::zeros(shape, at::kLong);
  out.targets = at::full(shape, -1, at::kLong);
  if (any([](const Example& example) { return !example.document_ids.empty(); }))
    out.document_ids = at::zeros(shape, at::kInt);
  if (any([](const Example& example) { return !example.is_prefix.empty(); }))
    out.is_prefix = at::zeros(shape, at::kBool);
  if (any([&](const Example& example) { return static_cast<int64_t>(example.tokens.size()) < length; }))
    out.is_padding = at::zeros(shape, at::kBool);
  for (size_t row = 0; row < examples.size(); ++row) {
    const Example& example = examples[row];
    require_shape(example, length);
    put(example.tokens, out.tokens, row);
    put(example.targets, out.targets, row);
    if (out.is_prefix.defined()) put(example.is_prefix, out.is_prefix, row);
    if (out.document_ids.defined()) put(example.document_ids, out.document_ids, row);
    const auto n_tokens = static_cast<int64_t>(example.tokens.size());
    if (n_tokens == length) continue;
    const auto rest = [&](const at::Tensor& part) {
      return part.select(0, static_cast<int64_t>(row)).narrow(0, n_tokens, length - n_tokens);
    };
    rest(out.is_padding).fill_(true);
    if (out.document_ids.defined())
      rest(out.document_ids).fill_(example.document_ids.empty() ? 1 : example.document_ids.back() + 1);
  }
  return out;
}

}  // namespace evenkeel::data
