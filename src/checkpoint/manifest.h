// A checkpoint folder is whole when its manifest.json, written last, agrees with every other file. The
// folder is made under a temporary name and renamed, so `step-XXXXXXXX` is either whole or absent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel::checkpoint {

namespace fs = std::filesystem;

std::string step_folder_name(int64_t step);  // "step-00000120"

// Calls `write_files` with a temporary folder beside `folder` (.evenkeel-saving-NAME), writes manifest.json
// there (name, size and SHA-256 of each file; docs/formats.md), syncs and renames. An existing `folder` is
// replaced. `write_files` makes plain files with AtomicFile, no folders. Leftovers of killed saves in the
// parent are removed first, saves under way in other processes are not. A failure leaves no temporary.
void save_folder(const fs::path& folder, const std::function<void(const fs::path& temporary)>& write_files);

// Removes a checkpoint folder so that a kill on the way leaves none that is half there.
void remove_folder(const fs::path& folder);

// Removes what killed saves and removals left in `parent`; those under way in other processes stay.
void remove_leftovers(const fs::path& parent);

// CheckpointError with the first difference of a listed file: missing, size, hash. `deep` re-hashes; otherwise names and sizes
// only. Files that are not listed, as file browsers make them, do no harm; the second function finds them.
void verify_folder(const fs::path& folder, bool deep);
void require_only_listed(const fs::path& folder);

// What is named like a checkpoint under RUN/checkpoints, whole or not, in the order of steps; empty when there is no such folder.
std::vector<fs::path> step_folders(const fs::path& run);

// The newest checkpoint under RUN/checkpoints whose hashes agree, for who goes on from it; those beyond it, which are damaged, are put
// aside as "damaged-step-…" with a warning. None: std::nullopt.
std::optional<fs::path> take_newest_whole(const fs::path& run);

// Steps with a whole checkpoint under RUN/checkpoints, ascending (names and sizes checked); empty when there
// is no such folder.
std::vector<int64_t> saved_steps(const fs::path& run);

}  // namespace evenkeel::checkpoint
