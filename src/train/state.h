// Everything that changes while a run trains, and its way to disk and back.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/loader.h"
#include "model/transformer.h"
#include "optim/optimizer.h"
#include "train/phase_record.h"

namespace evenkeel::train {

struct TrainState {
  uint64_t seed = 0;   // of the run
  ops::Params params;  // leaves; those that learn require a gradient
  optim::OptimizerState optimizer;
  std::vector<ops::Params> router_states;  // one for each MoE layer
  data::SamplerState loader;
  int64_t step = 0, tokens = 0;  // of the whole run
  int64_t phase_index = 0, phase_step = 0;
  std::vector<PhaseRecord> records;  // phases begun, in order
};

// token_counts: StateInput::token_counts, for a router that needs them.
TrainState initial_state(const RunConfig& config, const model::Transformer& model, const at::Device& device,
                         const at::Tensor& token_counts = {});

// Writes RUN/checkpoints/step-XXXXXXXX whole or not at all (docs/formats.md).
void save_checkpoint(const std::filesystem::path& run, const TrainState& state, const RunConfig& config);

struct LoadOptions {
  at::Device device = at::kCPU;
  bool deep = true;  // the files of the folder are hashed first; otherwise their names and sizes are compared
  // The state gets fresh moments in place of those of the checkpoint, which may be of another optimizer.
  bool resets_optimizer = false;
};
// CheckpointError when the folder is damaged or of another architecture than config.model. ConfigError as of
// model::check_router_state, for moments of another optimizer than config.optimizer, and for another
// train.sequence_length: what was drawn is counted in samples of that length.
TrainState load_checkpoint(const std::filesystem::path& folder, const RunConfig& config,
                           const model::Transformer& model, const LoadOptions& options = {});

// ConfigError, naming both, where the checkpoint has the moments of another optimizer than the recipe's;
// CheckpointError where it has others than that one needs.
void check_optimizer(const RunConfig& config, const checkpoint::ModelSource& source);
// The kind of optimizer whose moments a checkpoint has, of its state.json. Those of earlier versions do not say it:
// AdamW.
std::string optimizer_of_state(const Json& state);

void set_device(ops::Params& params, const at::Device& device, bool requires_grad);

}  // namespace evenkeel::train
