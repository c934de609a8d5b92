// Weights that are not in memory.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::model {

// A pass makes each of them when it uses it, in the type that it computes in, on its device.
class StoredWeights {
 public:
  virtual ~StoredWeights() = default;
  virtual at::Device device() const = 0;
  // By its place in parameter_table.
  virtual at::Tensor parameter(size_t index) const = 0;
  // parameter(index)[expert] of a parameter of routed experts, without the others. Several threads call it at a time.
  virtual at::Tensor expert(size_t index, int64_t expert) const = 0;
};

}  // namespace evenkeel::model
