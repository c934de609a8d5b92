// Whether a resumed run still has the recipe that it began with, and the data.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "train/config.h"
#include "train/inputs.h"
#include "train/phase.h"

namespace evenkeel::train {

// resolved.json of a run. DataError with its path where it is no recipe.
Json read_resolved(const std::filesystem::path& run);

// Of a resolved recipe what bears on the parameters: neither evaluation nor the rhythm of checkpoints, nor "contents".
// What came after the run was begun has its default. ConfigError where the model is none.
Json bearing_on_parameters(Json recipe);

// Keys of two resolved recipes that differ, as "path: old -> new".
std::vector<std::string> changed_keys(const Json& before, const Json& after);

// The same between the resolved.json of a run and `config`; none where the run has no checkpoint yet. A key of the
// model that came after the run was begun has its default there. A path that changed counts unless what lies there now
// is what the run began with: a folder may be moved. What is looked at for that is opened in `data`.
std::vector<std::string> changes_since(const std::filesystem::path& run, const RunConfig& config, InputData& data);

// Whether the run has `config` as its recipe, or had it before a change was allowed.
bool had_recipe(const std::filesystem::path& run, const RunConfig& config, InputData& data);

// "changed" of resolved.json: [{"step": of the checkpoint, "changes": as changes_since names them, "from": the recipe
// until then}], those of the run so far and `changes`, where there are any.
Json recorded_changes(const std::filesystem::path& run, const std::vector<std::string>& changes, int64_t step);

// "contents" of resolved.json: what the run reads while it trains, by its key of the recipe, whatever its place.
// {"data": {"phase.a.data.en.path": IndexedDataset::contents_record and "path"}, "starts": {"phase.b.start.from":
// checkpoint::folder_record}} What `run` has recorded already is trusted where sizes and times are the same.
Json run_contents(const RunConfig& config, InputData& data, const std::vector<PhaseStart>& starts,
                  const std::filesystem::path& run);

// Data, and weights of Hugging Face folders, whose contents are others than those of the run's resolved.json, as "key:
// other contents than …"; none where the run has no checkpoint yet.
std::vector<std::string> changed_contents(const std::filesystem::path& run, const RunConfig& config, InputData& data);

// "a: 1 -> 2; b: 3 -> 4"
std::string joined(const std::vector<std::string>& changes);

// What a refusal of a change offers who calls `train`.
inline constexpr std::string_view kAllowChange = "train --allow-change";
// ConfigError naming the keys where there are changes; `offer`: what can be done in place of giving the same.
void require_same_recipe(const std::filesystem::path& run, const RunConfig& config, InputData& data,
                         std::string_view offer = kAllowChange);
void require_same_contents(const std::filesystem::path& run, const RunConfig& config, InputData& data,
                           std::string_view offer = kAllowChange);

}  // namespace evenkeel::train
