#include "train/inputs.h"

#include "checkpoint/model_source.h"
#include "train/phase.h"

namespace evenkeel::train {

void InputData::open(const RunConfig& config) {
  const int64_t one_sample = config.train.sequence_length + 1;
  for (const auto& phase : config.phases) {
    for (const auto& source : phase.data) open_source(config, source.path, one_sample);
    if (phase.replay)
      for (const auto& source : phase.replay->data) open_source(config, source.path, one_sample);
    if (phase.eval)
      for (const auto& source : phase.eval->data) open_source(config, source.path, 2);
  }
}

void InputData::open_source(const RunConfig& config, const RecipePath& path, int64_t least_tokens) {
  auto found = datasets_.find(path.value);
  if (found == datasets_.end()) found = datasets_.emplace(path.value, data::IndexedDataset::open(path.value)).first;
  if (checked_.emplace(path.value, config.model.vocab_size).second) found->second.check_vocabulary(config.model.vocab_size);
  require<DataError>(found->second.n_tokens() >= least_tokens, path.where, ": got ", path.value, " with ", found->second.n_tokens(), " tokens; need at least ", least_tokens,
                     least_tokens > 2 ? " (sequence_length + 1)" : "");
}

void check_starts(const RunConfig& config) {
  std::set<std::string> names;
  std::string earlier;
  for (size_t i = 0; i < config.phases.size(); ++i) {
    const auto start = phase_start(config, i);
    if (!start.folder.empty()) checkpoint::open_model(start.folder, std::nullopt, /*deep=*/false);
    const auto& replay = config.phases[i].replay;
    require<ConfigError>(!replay || replay->from.empty() || names.contains(replay->from) || !start.folder.empty(), config.phases[i].where,
                         ": got replay.from = '", replay ? replay->from : "", "'; need the name of an earlier phase: ", earlier.empty() ? "there is none" : earlier);
    names.insert(config.phases[i].name);
    earlier += (earlier.empty() ? "" : ", ") + config.phases[i].name;
  }
}

}  // namespace evenkeel::train
