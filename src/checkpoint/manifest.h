// A checkpoint folder is whole when its manifest.json, written last, agrees with every other file. The
// folder is made under a temporary name and renamed, so `step-XXXXXXXX` is either whole or absent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/output.h"

namespace evenkeel::checkpoint {

namespace fs = std::filesystem;

std::string step_folder_name(int64_t step);  // "step-00000120"

// The format of a checkpoint, in its state.json and in the metadata of its tensor files.
inline constexpr const char* kCheckpointFormat = "evenkeel.checkpoint.v1";

// Calls `write` with a temporary folder beside `folder` (.evenkeel-saving-NAME), syncs and renames: `folder` is there
// whole or not at all. One that is there must bear the mark of `kind`, and is replaced.
void write_folder(const fs::path& folder, OutputKind kind, const std::function<void(const fs::path& temporary)>& write);

// Calls `write_files` with a temporary folder beside `folder` (.evenkeel-saving-NAME), writes manifest.json
// there (name, size and SHA-256 of each file; docs/formats.md), syncs and renames. An existing `folder` is
// replaced, or put aside where it is the checkpoint of another step. `write_files` makes plain files with AtomicFile,
// and no folder but origin/ (checkpoint/origin.h). Leftovers of killed saves in the parent are removed first, saves
// under way in other processes are not. A failure leaves no temporary.
void save_folder(const fs::path& folder, const std::function<void(const fs::path& temporary)>& write_files);

// Removes a checkpoint folder so that a kill on the way leaves none that is half there.
void remove_folder(const fs::path& folder);

// Clears away what killed saves and removals left in `parent`; those under way in other processes stay. Where a kill
// came between taking an old folder away and putting the new one in its place, the new one if it is whole, else the old
// one, is put there.
void remove_leftovers(const fs::path& parent);

// CheckpointError with the first difference of a listed file: missing, size, hash; or where the folder is named like
// the checkpoint of another step than its state.json says, as a copy may be. VersionError for a manifest that a newer
// evenkeel wrote. `deep` re-hashes; otherwise names and sizes only. Files that are not listed, as file browsers make
// them, do no harm; the second function finds them.
void verify_folder(const fs::path& folder, bool deep);
void require_only_listed(const fs::path& folder);

// The step of a folder named exactly as step_folder_name names it; std::nullopt of any other name, such as
// "step-00000005-best".
std::optional<int64_t> step_of_name(const std::string& name);

// The folders under RUN/checkpoints that are named like checkpoints, whole or not, in the order of steps; empty when
// there are none.
std::vector<fs::path> step_folders(const fs::path& run);

// What is named like a checkpoint there and is no folder: a save would find it in its place.
std::vector<fs::path> files_named_like_steps(const fs::path& run);

// The newest checkpoint under RUN/checkpoints whose hashes agree and whose name is that of its step, and the newer
// ones, which are damaged or misnamed. Changes nothing.
struct NewestWhole {
  fs::path checkpoint;
  std::vector<std::pair<fs::path, std::string>> damaged;  // with the first difference, newest first
  std::vector<std::pair<fs::path, std::string>>
      misnamed;  // whole, with the name of another step: these stay until a save needs the name
};
// std::nullopt where there is no checkpoint and never was one that was damaged. CheckpointError where there are some
// and none is whole: to start over would lose what the user may yet restore. VersionError where the newest is of a
// newer evenkeel.
std::optional<NewestWhole> find_newest_whole(const fs::path& run);

// CheckpointError that names the newest checkpoint under RUN/checkpoints and its first difference, where there are some
// and none of them is whole by names and sizes. Nothing where there is none at all.
void require_one_whole(const fs::path& run);

// Renames a damaged checkpoint to "damaged-NAME", or to "damaged-NAME.2" and so on where that is taken, with a warning.
void put_aside(const fs::path& checkpoint, const std::string& reason);

// Steps with a whole checkpoint under RUN/checkpoints, ascending (names, sizes and the step in state.json checked);
// empty when there is no such folder.
std::vector<int64_t> saved_steps(const fs::path& run);

}  // namespace evenkeel::checkpoint
