// What a run reads, checked before anything is written.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "data/indexed_dataset.h"
#include "train/config.h"

namespace evenkeel::train {

// Data sets by their path, each opened once and each vocabulary checked once, also over several runs.
class InputData {
 public:
  // Opens the sources of every phase. DataError names the recipe's line for one that is too short, and the file for one
  // that cannot be read or has ids outside the vocabulary.
  void open(const RunConfig& config);
  const data::IndexedDataset& at(const std::string& path) const { return datasets_.at(path); }

 private:
  void open_source(const RunConfig& config, const RecipePath& path, int64_t least_tokens);
  std::map<std::string, data::IndexedDataset> datasets_;
  std::set<std::pair<std::string, int64_t>> checked_;  // (path, vocabulary)
};

// What phases start from and what they replay. ConfigError for a name or folder that is not there.
void check_starts(const RunConfig& config);

}  // namespace evenkeel::train
