// What a run reads, checked before anything is written.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "data/indexed_dataset.h"
#include "train/config.h"
#include "train/phase.h"

namespace evenkeel::train {

// Data sets by their path, each opened once and each vocabulary checked once, also over several runs.
class InputData {
 public:
  // Opens the sources of every phase. DataError names the recipe's line for one that is too short, and the file for one
  // that cannot be read or has ids outside the vocabulary.
  void open(const RunConfig& config);
  // The sources of a replay, as `open` does those of a phase.
  void open(const RunConfig& config, const std::vector<data::SourceSpec>& sources);
  const data::IndexedDataset& at(const std::string& path) const { return datasets_.at(path); }

 private:
  void open_source(const RunConfig& config, const RecipePath& path, int64_t least_tokens);
  std::map<std::string, data::IndexedDataset> datasets_;
  std::set<std::pair<std::string, int64_t>> checked_;  // (path, vocabulary)
};

// Where each phase starts. Checks what phases start from and what they replay: ConfigError for a name or folder that is
// not there, and for a start of another architecture or sequence length; CheckpointError for one without the router's
// states; a warning for one of another seed. `data`: the data of a phase that a start brings along is opened there too.
std::vector<PhaseStart> check_starts(const RunConfig& config, InputData& data);

}  // namespace evenkeel::train
