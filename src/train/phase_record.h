// What a phase drew from, kept in checkpoints so that a later phase can replay it. All that changes a record is here.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/sampler.h"
#include "train/config.h"

namespace evenkeel::train {

class InputData;
struct PhaseStart;
struct TrainState;

// A source of a phase's mixture.
struct RecordedSource {
  data::SourceSpec spec = {};
  std::string content = {};    // Contents::hash; "" in a checkpoint of an earlier version
  std::string tokenizer = {};  // its SHA-256; "" = unknown
  Json objective = {};         // its options
};

struct PhaseRecord {
  std::string name = {};
  int64_t start_step = 0;  // of the checkpoint that it started from; 0 = initialisation
  int64_t first_step = 0;  // its first step in the run
  bool shuffle = true;
  std::vector<RecordedSource> sources = {};
  bool has_changed = false;    // it drew from more than one mixture: a resume changed the recipe on the way
  data::PastDraws drawn = {};  // so far
};

std::vector<RecordedSource> recorded_sources(const RunConfig& config, const PhaseConfig& phase, const InputData& data);

// The record of a phase that begins at `start`, before it has drawn. `state`: where the run is. `sampler`: the phase's.
struct NewPhase {
  const RunConfig& run;
  const PhaseConfig& config;
  const PhaseStart& start;
  const TrainState& state;
  const data::Sampler& sampler;
};
PhaseRecord new_record(const NewPhase& phase, const InputData& data);

// The record of a phase that goes on, where its recipe may have changed. `sampler`: the phase's, started at `before`,
// what the run had drawn.
struct ContinuedPhase {
  const RunConfig& run;
  const PhaseConfig& config;
  const data::SamplerState& before;
  const data::Sampler& sampler;
};
PhaseRecord continued_record(PhaseRecord record, const ContinuedPhase& phase, const InputData& data);

// Adds the sequences of each source of a step. Those of a replay do not count: a later replay repeats the phase's own.
void count_draws(PhaseRecord& record, const std::map<std::string, int64_t>& sources);

Json record_json(const PhaseRecord& record);
// The phases of a state.json; CheckpointError where they are damaged. `seed`: of a record that has none.
std::vector<PhaseRecord> read_records(const Json& state, const std::string& where, int64_t seed);

}  // namespace evenkeel::train
