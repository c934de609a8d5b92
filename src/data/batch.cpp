#include "data/batch.h"

#include <algorithm>
#include <array>
#include <vector>

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>

namespace evenkeel::data {
namespace {

constexpr std::array kTensors = {&Batch::tokens, &Batch::targets, &Batch::document_ids, &Batch::is_padding,
                                 &Batch::is_prefix};

}  // namespace

Batch on_device(Batch batch, at::Device device) {
  for (const auto tensor : kTensors)
    if ((batch.*tensor).defined()) batch.*tensor = (batch.*tensor).to(device);
  return batch;
}

Batch joined(std::span<const Batch> batches) {
  Batch out;
  for (const auto tensor : kTensors) {
    const auto has = [&](const Batch& batch) { return (batch.*tensor).defined(); };
    const auto first = std::find_if(batches.begin(), batches.end(), has);
    if (first == batches.end()) continue;
    std::vector<at::Tensor> parts;
    for (const auto& batch : batches)
      parts.push_back(has(batch) ? batch.*tensor : at::zeros_like(batch.tokens, (*first.*tensor).scalar_type()));
    out.*tensor = at::cat(parts);
  }
  for (const auto& batch : batches)
    for (const auto& [name, count] : batch.sources) out.sources[name] += count;
  return out;
}

}  // namespace evenkeel::data
