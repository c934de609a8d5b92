#include "model/batch_passes.h"

#include <algorithm>
#include <limits>

#include "core/log.h"

namespace evenkeel::model {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// Whether one more batch like this one fits beside so many tokens.
bool holds_another(const std::vector<ModelValues>& models, int64_t n_tokens, const data::Batch& batch) {
  double least = kNoLimit, bytes = 0;
  for (const auto& [model, values] : models) {
    if (values.stored == nullptr) continue;
    least = std::min(least, values.group_bytes);
    bytes += model.bytes_between_layers() * static_cast<double>(n_tokens + batch.tokens.numel());
  }
  return least < kNoLimit && bytes <= least;
}

// Several batches take a while until the first comes out: that is shown.
std::vector<ModelOutput> group_outputs(const ModelValues& of, const std::vector<ModelInput>& inputs) {
  if (inputs.size() == 1) return of.model.forward_stored(of.values, inputs);
  const auto n = static_cast<int64_t>(inputs.size());
  const int64_t n_layers = of.model.config().n_layers;
  Progress progress(std::to_string(n) + " batches through the layers", static_cast<double>(n * n_layers), "");
  return of.model.forward_stored(of.values, inputs, [&](int64_t n_done) {
    progress.update(static_cast<double>(n_done),
                    join_parts("layer ", std::min((n_done / n) + 1, n_layers), " of ", n_layers));
  });
}

}  // namespace

BatchPasses::BatchPasses(std::vector<ModelValues> models, Batches batches, InputOf input_of)
    : models_(std::move(models)), batches_(std::move(batches)), input_of_(std::move(input_of)) {}

void BatchPasses::read_group() {
  head_ = at::Tensor();
  int64_t n_tokens = 0;
  for (auto batch = batches_(); batch.tokens.size(0) > 0; batch = batches_()) {
    n_tokens += batch.tokens.numel();
    group_.push_back({std::move(batch), std::vector<ModelOutput>(models_.size()), {}});
    if (!holds_another(models_, n_tokens, group_.back().batch)) break;
  }
  if (group_.empty()) return;
  for (size_t m = 0; m < models_.size(); ++m) {
    const auto& [model, values] = models_[m];
    if (values.stored == nullptr) continue;
    std::vector<ModelInput> inputs;
    for (const auto& pass : group_)
      inputs.push_back(input_of_(pass.batch, number_ + static_cast<int64_t>(inputs.size()), models_[m]));
    auto outputs = group_outputs(models_[m], inputs);
    for (size_t i = 0; i < outputs.size(); ++i) group_[i].outputs[m] = std::move(outputs[i]);
  }
  if (models_[0].values.stored != nullptr) head_ = models_[0].model.head(models_[0].values);
}

std::optional<BatchPass> BatchPasses::next() {
  if (group_.empty()) read_group();
  if (group_.empty()) return std::nullopt;
  auto out = std::move(group_.front());
  group_.pop_front();
  for (size_t m = 0; m < models_.size(); ++m) {
    const auto& [model, values] = models_[m];
    if (values.stored == nullptr)
      out.outputs[m] = model.forward(values.params, values.router_states, input_of_(out.batch, number_, models_[m]));
  }
  out.head = head_.defined() ? head_ : models_[0].model.head(models_[0].values);
  ++number_;
  return out;
}

}  // namespace evenkeel::model
