// A model run over windows, as the analyses see it: the same forward pass as in training and evaluation.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analysis/analysis.h"
#include "analysis/windows.h"
#include "model/batch_passes.h"

namespace evenkeel::analysis {

// A model that is ready to run; its parameters are on one device and need no gradient, or stay where they are stored.
struct LoadedModel {
  std::string name;  // for the tables
  model::Transformer model;
  ops::Params params;                          // empty where they are stored
  std::vector<ops::Params> router_states;      // one for each MoE layer
  std::optional<int64_t> step = std::nullopt;  // of the checkpoint
  std::shared_ptr<const model::StoredWeights> stored = nullptr;
  double group_bytes = 0;  // as Snapshot's
  model::Snapshot values() const { return {params, router_states, stored.get(), group_bytes}; }
  int64_t vocab_size() const { return model.config().vocab_size; }
  at::Tensor embedding() const { return stored != nullptr ? stored->parameter(0) : params.at("embedding.weight"); }
};

struct ForwardOptions {
  int64_t batch_size = 16;  // windows a forward pass; the scope of batch-wise routers in Mode::train
  moe::Mode mode = moe::Mode::eval;
  bool separate_documents = false;  // attention and positions stop at document borders
  uint64_t seed = 0;                // of random routers in Mode::train, with the number of the batch mixed in
};

// The seed of random routers for a batch: in Mode::train the draws are those of (seed, number of the batch); in
// Mode::eval none depends on which batch a sequence came in.
uint64_t batch_seed(moe::Mode mode, uint64_t seed, int64_t number);

struct Forward {
  Observation observation;  // on the CPU; `data` is left to the caller
  at::Tensor hidden;        // [B*S, H] of the model, on its device; ops::head_logits makes the logits of its rows
  at::Tensor head;          // [V, H] of the model
};

// Batches through the model, and through the reference model where one is given (may be null). Arg max ties go to the
// lower id. The models outlive it.
class Forwards {
 public:
  Forwards(const LoadedModel& model, const LoadedModel* reference, model::BatchPasses::Batches batches,
           const ForwardOptions& options);
  std::optional<Forward> next();  // nothing at the end

 private:
  model::BatchPasses passes_;
};

std::vector<LayerShape> moe_layers(const model::ModelConfig& config);

// ConfigError when `reference` cannot be compared with `model` token by token: another vocabulary, other MoE layers,
// experts or k.
void check_reference(const LoadedModel& model, const LoadedModel& reference);

}  // namespace evenkeel::analysis
