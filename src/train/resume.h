// What a run goes on from, found and checked as a whole before anything is written: a refusal leaves the run as it was.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "train/inputs.h"
#include "train/recipe_changes.h"
#include "train/state.h"

namespace evenkeel::train {

struct ResumeOptions {
  std::filesystem::path run;
  at::Device device;
  // Of the recipe and its contents, as changes_since names them: these are allowed.
  const std::vector<std::string>& changes;
  std::string_view change_offer = kAllowChange;
};

struct Resume {
  // Of the last whole checkpoint, as it was saved: after the last step of a phase it is still in that phase.
  TrainState state;
  std::vector<std::pair<std::filesystem::path, std::string>> damaged;  // newer checkpoints, with what is wrong
};

// std::nullopt where the run never had a checkpoint; CheckpointError where it has none now and had one by its metrics,
// results, log or what lies in checkpoints/. What a changed recipe means for the data is exact: a mixture of other
// sources or shares counts from here on. ConfigError, naming the key, for a change that cannot be exact: of the
// sequence length, the seed or the lengths of the phases so far, of the order of a content in the middle of an epoch,
// of a phase whose draws a later one is to repeat. CheckpointError where the checkpoints are damaged, VersionError
// where a newer evenkeel wrote them.
std::optional<Resume> find_resume(const RunConfig& config, const ResumeOptions& options,
                                  const std::vector<PhaseStart>& starts, InputData& data);

}  // namespace evenkeel::train
