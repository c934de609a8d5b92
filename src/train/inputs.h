// What a run reads, checked before anything is written.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "checkpoint/model_source.h"
#include "data/datasets.h"
#include "train/config.h"
#include "train/phase.h"
#include "train/tokenizer_uses.h"

namespace evenkeel::train {

// A recipe with what it names: the model of [model] from, and the sizes of the sets whose epochs a phase's length
// counts (where data is optional those are left open). Errors of read_run_config and open_model; DataError naming the
// recipe's line for a set that is shorter than a sequence, ConfigError for a schedule that does not fit the length.
RunConfig open_run_config(const ConfigNode& root, DataNeed need = DataNeed::required);

// The data sets of one or several runs, each opened once, and each read as a whole once.
class InputData {
 public:
  // Opens the sources of every phase. DataError names the recipe's line for one that is too short, and the file for one
  // that cannot be read or has ids outside the vocabulary. ConfigError for sets of different tokenizers, unless the
  // recipe allows them, and for a set that two phases on each other's way draw in different orders. Returns what a user
  // should know of the sets and of the ids that objectives add to them, each once.
  std::vector<std::string> open(const RunConfig& config);
  // The sources of a replay, as `open` does those of a phase.
  void open(const RunConfig& config, const std::vector<RecordedSource>& sources);
  // What the run's resolved.json says of its data is trusted where sizes and times are the same: they are not read
  // again.
  void trust(const std::filesystem::path& run);
  const data::IndexedDataset& at(const std::string& path) const { return datasets_.at(path); }
  data::Datasets& datasets() { return datasets_; }

 private:
  const data::IndexedDataset& open_source(const RunConfig& config, const RecipePath& path, int64_t least_tokens);
  data::Datasets datasets_;
  std::map<std::string, Json> records_;  // of earlier processes, by path
};

// DataError where the sets of a run, and the models whose weights it takes, have more than one tokenizer, and not of
// any two one extends the other; a warning where the recipe allows it. Sets and folders that are not there are passed
// over. Opens sets that are not open. What model.new_embeddings asks of tokenizers is asked here too.
void require_one_tokenizer(const RunConfig& config, data::Datasets& datasets);

// Where each phase starts, and what a user should know of it.
struct Starts {
  std::vector<PhaseStart> of_phases;
  std::vector<std::string> warnings;
};
// Checks what phases start from and what they replay: ConfigError for a name or folder that is
// not there, and for a start of another architecture, sequence length or optimizer; CheckpointError for one without the
// router's states or the optimizer's moments; a warning for one of another seed. `data`: the data of a phase that a
// start brings along is opened there too.
Starts check_starts(const RunConfig& config, InputData& data);

// What InputData::open refuses of the sets, their tokenizers and the orders in which they are drawn, of those sets that
// are there, since a plan may come before the data; and what check_starts refuses. Returns what that warns of.
std::vector<std::string> check_what_is_there(const RunConfig& config, InputData& data);

}  // namespace evenkeel::train
