// Everything that changes while a run trains, and its way to disk and back.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/loader.h"
#include "model/transformer.h"
#include "optim/adamw.h"
#include "train/config.h"

namespace evenkeel::train {

// What a phase drew from, so that a later one can replay it.
struct PhaseRecord {
  std::string name;
  int64_t start_step = 0;  // of the checkpoint it started from; 0 = initialisation
  int64_t first_step = 0;  // its first step in the run
  bool shuffle = true;
  std::vector<data::SourceSpec> sources = {};
  std::vector<std::string> contents =
      {};  // Contents::hash of each of `sources`; empty in a checkpoint of an earlier version
  std::vector<std::string> tokenizers = {};  // SHA-256 of that of each of `sources`, "" = unknown
  bool has_changed = false;    // it drew from more than one mixture: a resume changed the recipe on the way
  data::PastDraws drawn = {};  // so far
};

struct TrainState {
  uint64_t seed = 0;   // of the run
  ops::Params params;  // leaves that require a gradient
  optim::AdamState adam;
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

// CheckpointError when the folder is damaged or of another architecture than config.model. `deep`: its files
// are hashed first; otherwise names and sizes are compared. ConfigError as of model::check_router_state, and for
// another train.sequence_length: what was drawn is counted in samples of that length.
struct LoadOptions {
  at::Device device = at::kCPU;
  bool deep = true;
};
TrainState load_checkpoint(const std::filesystem::path& folder, const RunConfig& config,
                           const model::Transformer& model, const LoadOptions& options = {});

// The phases of a state.json; CheckpointError where they are damaged. `seed`: of a record that has none.
std::vector<PhaseRecord> read_records(const Json& state, const std::string& where, int64_t seed);

void set_device(ops::Params& params, const at::Device& device, bool requires_grad);

}  // namespace evenkeel::train
