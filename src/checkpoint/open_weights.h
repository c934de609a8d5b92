// The weights of a model where they are stored, for passes that make each when they use it.
#pragma once

#include <memory>

#include "checkpoint/model_source.h"
#include "model/stored_weights.h"

namespace evenkeel::checkpoint {

// What they are made into: the values of load_params in this type.
struct WeightsForm {
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
};
// Of a checkpoint, or of a Hugging Face folder of any family: what its rules stack, transpose, reorder or divide, and
// what is stored in 4 or 8 bits, is put together anew each time. Errors as load_params, but for packed values that are
// no numbers: these are found when they are read. The files stay mapped, and no page of them in memory on its account.
std::shared_ptr<const model::StoredWeights> open_weights(const ModelSource& source, const WeightsForm& form);

}  // namespace evenkeel::checkpoint
