// A checkpoint folder is whole when its manifest.json, written last, agrees with every other file. The
// folder is made under a temporary name and renamed, so `step-XXXXXXXX` is either whole or absent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
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

// CheckpointError with the first difference: missing, size, hash, unlisted file. `deep` re-hashes;
// otherwise names and sizes only.
void verify_folder(const fs::path& folder, bool deep);

// Steps with a whole checkpoint under RUN/checkpoints, ascending (names and sizes checked); empty when there
// is no such folder.
std::vector<int64_t> saved_steps(const fs::path& run);

}  // namespace evenkeel::checkpoint
