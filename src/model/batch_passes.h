// Forward passes over many batches in their order, without gradient: of one model, or of several on the same batches.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "model/transformer.h"

namespace evenkeel::model {

// They outlive the passes.
struct ModelValues {
  const Transformer& model;
  Snapshot values;
};

struct BatchPass {
  data::Batch batch;
  std::vector<ModelOutput> outputs;  // one for each model
  at::Tensor head;                   // [V, H] of the first model
};

// Batch by batch where weights are in memory. Those that are not are made once for a group of batches: as many as
// Snapshot::group_bytes hold what forward_stored keeps of them, at least one. What comes out is the same to the bit.
class BatchPasses {
 public:
  using Batches = std::function<data::Batch()>;  // an empty one (tokens.size(0) == 0) at the end
  using InputOf = std::function<ModelInput(const data::Batch& batch, int64_t number, const ModelValues& model)>;
  BatchPasses(std::vector<ModelValues> models, Batches batches, InputOf input_of);
  std::optional<BatchPass> next();  // nothing at the end

 private:
  void read_group();
  std::vector<ModelValues> models_;
  Batches batches_;
  InputOf input_of_;
  std::deque<BatchPass> group_;  // outputs of models in memory are not there yet
  at::Tensor head_;              // of the first model, where it is stored
  int64_t number_ = 0;           // of the next batch to come out
};

}  // namespace evenkeel::model
