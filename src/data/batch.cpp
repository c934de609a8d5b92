#include "data/batch.h"

#include <array>
#include <stdexcept>
#include <vector>

#include <ATen/ops/cat.h>

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
    std::vector<at::Tensor> parts;
    for (const auto& batch : batches)
      if ((batch.*tensor).defined()) parts.push_back(batch.*tensor);
    if (!parts.empty() && parts.size() < batches.size()) throw std::logic_error("batches of different kinds joined");
    if (!parts.empty()) out.*tensor = at::cat(parts);
  }
  for (const auto& batch : batches)
    for (const auto& [name, count] : batch.sources) out.sources[name] += count;
  return out;
}

}  // namespace evenkeel::data
