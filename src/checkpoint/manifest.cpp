#include "checkpoint/manifest.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "checkpoint/origin.h"
#include "checkpoint/safetensors_header.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/json.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/output.h"

namespace evenkeel::checkpoint {
namespace {

constexpr const char* kManifestName = "manifest.json";
constexpr const char* kFormat = "evenkeel.manifest.v1";
constexpr int64_t kMaxManifestBytes = int64_t{16} << 20;
constexpr const char* kSavingPrefix = ".evenkeel-saving-";      // + name of the folder: being written
constexpr const char* kReplacedPrefix = ".evenkeel-replaced-";  // + name of the folder: a new one takes its place
constexpr const char* kRemovedPrefix = ".evenkeel-removed-";    // + name of the folder: about to be removed
constexpr const char* kAsidePrefix = "damaged-";                // + name of the folder

// Held on a temporary folder while it is written; the kernel frees it when the process dies, and that is
// how a leftover is told from a save that another process is making.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder) : descriptor_(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    is_held_ = descriptor_ >= 0 && flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
  }
  ~FolderLock() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  bool is_held() const { return is_held_; }

 private:
  int descriptor_;
  bool is_held_ = false;
};

Json manifest_of(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = fs::relative(entry.path(), folder).string();
    if (entry.is_directory() && name == kOriginName) continue;
    if (!entry.is_regular_file()) throw std::logic_error("save_folder: " + entry.path().string() + " is no file");
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  Json files = Json::array();
  for (const auto& name : names) {
    Json file = Json::object();
    file["name"] = name;
    file["bytes"] = static_cast<int64_t>(fs::file_size(folder / name));
    file["sha256"] = sha256_file(folder / name);
    files.push_back(std::move(file));
  }
  Json manifest = Json::object();
  manifest["format"] = kFormat;
  manifest["files"] = std::move(files);
  return manifest;
}

// What is wrong with the name of a checkpoint folder: that of another step than the one in its state.json, as a copy
// has it. Nothing where the name is that of no step, or state.json says no step: it is the hashes that tell of damage.
std::optional<std::string> misfit_of_name(const fs::path& folder) {
  const fs::path whole_path = fs::absolute(folder).lexically_normal();
  const std::string name = (whole_path.has_filename() ? whole_path : whole_path.parent_path()).filename().string();
  const auto named = step_of_name(name);
  const fs::path state_path = folder / "state.json";
  std::error_code ignored;
  if (!named || !fs::is_regular_file(state_path, ignored)) return std::nullopt;
  try {
    const Json state = read_json(state_path);
    const Json* step = state.is_object() ? state.find("step") : nullptr;
    if (step == nullptr || !step->is_integer() || step->as_int() == *named) return std::nullopt;
    return join_parts(state_path.string(), ": got step ", step->as_int(), " in a folder with the name ", name,
                      "; need the name ", step_folder_name(step->as_int()), ", which is that of its step");
  } catch (const DataError&) {
    return std::nullopt;
  }
}

// Puts `temporary` in the place of `folder`. A kill between the two renames leaves `folder` absent until
// remove_leftovers restores it. A checkpoint of another step that bears the name is kept under another one.
void put_in_place(const fs::path& temporary, const fs::path& folder) {
  if (const auto reason = misfit_of_name(folder)) put_aside(folder, *reason);
  if (!fs::exists(folder)) return rename_synced(temporary, folder);
  const fs::path replaced = folder.parent_path() / (kReplacedPrefix + folder.filename().string());
  try {
    rename_synced(folder, replaced);
    rename_synced(temporary, folder);
  } catch (const MachineError&) {
    std::error_code ignored;
    if (!fs::exists(folder, ignored)) fs::rename(replaced, folder, ignored);
    throw;
  }
  std::error_code ignored;
  fs::remove_all(replaced, ignored);
}

struct ListedFile {
  std::string name;
  int64_t bytes = 0;
  std::string sha256;
};

const Json& wanted_key(const Json& json, const char* key, bool (Json::*is_kind)() const, const std::string& where,
                       const char* wanted) {
  const Json* value = json.find(key);
  require<CheckpointError>(value != nullptr && (value->*is_kind)(), where, ": ", key, ": got ",
                           value == nullptr ? "nothing" : value->kind(), "; need ", wanted);
  return *value;
}

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

ListedFile listed_file(const Json& json, const std::string& where) {
  ListedFile out;
  out.name = wanted_key(json, "name", &Json::is_string, where, "a string").as_string();
  const std::string prefix = std::string(kOriginName) + "/";
  const std::string name = out.name.starts_with(prefix) ? out.name.substr(prefix.size()) : out.name;
  require<CheckpointError>(is_plain_file_name(name) && out.name != kManifestName, where, ": name: got ",
                           shown_name(out.name), "; need a file of the same folder, without '/' and '..'");
  out.bytes = wanted_key(json, "bytes", &Json::is_integer, where, "an integer").as_int();
  require<CheckpointError>(out.bytes >= 0, where, ": bytes: got ", out.bytes, "; need at least 0");
  out.sha256 = wanted_key(json, "sha256", &Json::is_string, where, "a string").as_string();
  require<CheckpointError>(is_sha256(out.sha256), where, ": sha256: got ", shown_name(out.sha256),
                           "; need 64 hexadecimal digits");
  return out;
}

bool is_newer_format(const std::string& format) {
  constexpr std::string_view kStem = "evenkeel.manifest.v";
  if (!format.starts_with(kStem)) return false;
  const std::string version = format.substr(kStem.size());
  return !version.empty() && version.size() < 10 && version.find_first_not_of("0123456789") == version.npos &&
         std::stoll(version) > 1;
}

std::vector<ListedFile> read_manifest(const fs::path& folder) {
  const std::string path = (folder / kManifestName).string();
  Json manifest;
  try {
    manifest = Json::parse(read_file(path, kMaxManifestBytes), path);
  } catch (const DataError& error) {
    throw CheckpointError(error.what());
  }
  const std::string format = wanted_key(manifest, "format", &Json::is_string, path, "a string").as_string();
  require<VersionError>(format == kFormat || !is_newer_format(format), path, ": format: got ", shown_name(format),
                        ", of a newer evenkeel; need that version, or a checkpoint of '", kFormat, "'");
  require<CheckpointError>(format == kFormat, path, ": format: got ", shown_name(format), "; need '", kFormat, "'");
  std::vector<ListedFile> out;
  std::set<std::string> names;
  const Json& files = wanted_key(manifest, "files", &Json::is_array, path, "an array");
  for (size_t i = 0; i < files.size(); ++i) {
    out.push_back(listed_file(files.at(i), path + ": files[" + std::to_string(i) + "]"));
    require<CheckpointError>(names.insert(out.back().name).second, path, ": got file ", shown_name(out.back().name),
                             " twice; need it once");
  }
  return out;
}

void check_file(const fs::path& path, const ListedFile& listed, bool deep) {
  std::error_code error;
  const auto bytes = fs::is_regular_file(path, error) ? fs::file_size(path, error) : 0;
  require<CheckpointError>(!error && fs::is_regular_file(path, error), path.string(), ": got no such file; need ",
                           listed.bytes, " bytes, as ", kManifestName, " says");
  require<CheckpointError>(bytes == static_cast<uint64_t>(listed.bytes), path.string(), ": got ", bytes,
                           " bytes; need ", listed.bytes, ", as ", kManifestName, " says");
  if (!deep) return;
  const std::string sha256 = sha256_file(path);
  require<CheckpointError>(sha256 == listed.sha256, path.string(), ": got SHA-256 ", sha256, "; need ", listed.sha256,
                           ", as ", kManifestName, " says");
}

}  // namespace

std::string step_folder_name(int64_t step) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "step-%08lld", static_cast<long long>(step));
  return buffer;
}

void write_folder(const fs::path& folder, OutputKind kind,
                  const std::function<void(const fs::path& temporary)>& write) {
  const fs::path target = folder.has_filename() ? folder : folder.parent_path();
  const fs::path parent = target.has_parent_path() ? target.parent_path() : fs::path(".");
  const fs::path temporary = parent / (kSavingPrefix + target.filename().string());
  require_own_outputs({{target, kind}});
  make_folders(parent);
  remove_leftovers(parent);
  make_folders(temporary);
  const FolderLock lock(temporary);
  require<MachineError>(lock.is_held(), temporary.string(), ": got a save by another process; need to be the only one");
  try {
    for (const auto& entry : fs::directory_iterator(temporary)) fs::remove_all(entry.path());  // of a killed save
    write(temporary);
    put_in_place(temporary, target);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
}

void save_folder(const fs::path& folder, const std::function<void(const fs::path& temporary)>& write_files) {
  write_folder(folder, OutputKind::checkpoint, [&](const fs::path& temporary) {
    write_files(temporary);
    write_file_atomically(temporary / kManifestName, manifest_of(temporary).dump(1) + "\n");
  });
}

void remove_folder(const fs::path& folder) {
  const fs::path removed = folder.parent_path() / (kRemovedPrefix + folder.filename().string());
  std::error_code ignored;
  fs::remove_all(removed, ignored);
  rename_synced(folder, removed);
  fs::remove_all(removed, ignored);
}

namespace {

bool is_whole(const fs::path& folder) {
  try {
    verify_folder(folder, /*deep=*/true);
    return true;
  } catch (const VersionError&) {
    return true;  // a newer evenkeel's: not ours to judge, and no damage
  } catch (const Error&) {
    return false;
  }
}

// What a kill left under one of our names in `parent`, sorted by name.
std::vector<fs::path> leftovers_of(const fs::path& parent, std::string_view prefix) {
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error))
    if (entry.path().filename().string().starts_with(prefix) && entry.is_directory(error) && !entry.is_symlink(error))
      out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

// Names that we give are made of a checkpoint's; any other is someone else's.
bool is_leftover(const fs::path& path, std::string_view prefix) {
  return step_of_name(path.filename().string().substr(prefix.size())).has_value();
}

}  // namespace

void remove_leftovers(const fs::path& parent) {
  std::error_code error;
  // A save that was killed after its manifest is whole, and newer than what it would have replaced.
  for (const std::string_view prefix : {kSavingPrefix, kReplacedPrefix, kRemovedPrefix}) {
    for (const auto& path : leftovers_of(parent, prefix)) {
      if (!is_leftover(path, prefix)) continue;
      const FolderLock lock(path);
      if (!lock.is_held()) continue;
      const fs::path place = parent / path.filename().string().substr(prefix.size());
      if (prefix != kRemovedPrefix && !fs::exists(place) && is_whole(path)) {
        rename_synced(path, place);
      } else {
        fs::remove_all(path, error);
      }
    }
  }
}

namespace {

void verify_files(const fs::path& folder, bool deep) {
  for (const auto& file : read_manifest(folder)) check_file(folder / file.name, file, deep);
}

}  // namespace

void verify_folder(const fs::path& folder, bool deep) {
  verify_files(folder, deep);
  if (const auto reason = misfit_of_name(folder)) fail<CheckpointError>(*reason);
}

void require_only_listed(const fs::path& folder) {
  std::set<std::string> names{kManifestName}, unlisted;
  for (const auto& file : read_manifest(folder)) {
    names.insert(file.name);
    if (file.name.starts_with(std::string(kOriginName) + "/")) names.insert(kOriginName);
  }
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = fs::relative(entry.path(), folder).string();
    if (!names.contains(name)) unlisted.insert(name);
  }
  require<CheckpointError>(unlisted.empty(), folder.string(), ": got file ",
                           unlisted.empty() ? "" : shown_name(*unlisted.begin()), ", which ", kManifestName,
                           " does not list; need only what it lists");
}

std::optional<int64_t> step_of_name(const std::string& name) {
  constexpr size_t kDigitsBegin = 5, kMostDigits = 15;
  if (!name.starts_with("step-") || name.size() > kDigitsBegin + kMostDigits) return std::nullopt;
  const std::string digits = name.substr(kDigitsBegin);
  if (digits.empty() || digits.find_first_not_of("0123456789") != digits.npos) return std::nullopt;
  const int64_t step = std::stoll(digits);
  return name == step_folder_name(step) ? std::optional(step) : std::nullopt;
}

namespace {

// What is named like a checkpoint under RUN/checkpoints, folders or all else, in the order of steps.
std::vector<fs::path> named_like_steps(const fs::path& run, bool are_folders) {
  std::map<int64_t, fs::path> found;  // a step has one name
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", error))
    if (const auto step = step_of_name(entry.path().filename().string());
        step && entry.is_directory(error) == are_folders)
      found.emplace(*step, entry.path());
  std::vector<fs::path> out;
  for (auto& [step, path] : found) out.push_back(std::move(path));
  return out;
}

}  // namespace

std::vector<fs::path> step_folders(const fs::path& run) { return named_like_steps(run, /*are_folders=*/true); }
std::vector<fs::path> files_named_like_steps(const fs::path& run) {
  return named_like_steps(run, /*are_folders=*/false);
}

namespace {

std::string none_is_whole(const fs::path& run, size_t n_checkpoints, const std::string& reason) {
  return join_parts(run.string(), ": got ", n_checkpoints,
                    n_checkpoints == 1 ? " checkpoint, which is not whole (" : " checkpoints, none of them whole (",
                    reason, "); need one of them restored from a copy");
}

// Checkpoints that an earlier resume put aside.
std::vector<fs::path> folders_aside(const fs::path& run) {
  return leftovers_of(run / "checkpoints", std::string(kAsidePrefix) + "step-");
}

}  // namespace

std::optional<NewestWhole> find_newest_whole(const fs::path& run) {
  NewestWhole out;
  auto folders = step_folders(run);
  const size_t n_folders = folders.size();
  std::string reason;  // the first that was found
  for (; !folders.empty(); folders.pop_back()) {
    const fs::path& folder = folders.back();
    auto* list = &out.damaged;
    try {
      verify_files(folder, /*deep=*/true);
      list = &out.misnamed;
      verify_folder(folder, /*deep=*/false);
      out.checkpoint = folder;
      return out;
    } catch (const CheckpointError& error) {
      list->emplace_back(folder, error.what());
      if (reason.empty()) reason = error.what();
    }
  }
  const size_t n_aside = folders_aside(run).size();
  if (n_folders + n_aside == 0) return std::nullopt;
  if (reason.empty()) reason = (run / "checkpoints").string() + ": all were put aside as damaged";
  fail<CheckpointError>(none_is_whole(run, n_folders + n_aside, reason), ", or another --out to start over");
}

void require_one_whole(const fs::path& run) {
  auto folders = step_folders(run);
  const size_t n_folders = folders.size();
  std::string reason;  // the first that was found
  for (; !folders.empty(); folders.pop_back()) {
    try {
      return verify_folder(folders.back(), /*deep=*/false);
    } catch (const CheckpointError& error) {
      if (reason.empty()) reason = error.what();
    }
  }
  require<CheckpointError>(n_folders == 0, none_is_whole(run, n_folders, reason));
}

void put_aside(const fs::path& checkpoint, const std::string& reason) {
  const std::string name = kAsidePrefix + checkpoint.filename().string();
  fs::path aside = checkpoint.parent_path() / name;
  for (int number = 2; fs::exists(fs::symlink_status(aside)); ++number)
    aside = checkpoint.parent_path() / (name + "." + std::to_string(number));
  log_warning("passed over a damaged checkpoint, now ", aside.string(), ": ", reason);
  rename_synced(checkpoint, aside);
}

std::vector<int64_t> saved_steps(const fs::path& run) {
  std::vector<int64_t> out;
  for (const auto& folder : step_folders(run)) {
    try {
      verify_folder(folder, /*deep=*/false);
    } catch (const CheckpointError&) {
      continue;  // not whole: the run goes on from the one before
    }
    out.push_back(*step_of_name(folder.filename().string()));
  }
  return out;
}

}  // namespace evenkeel::checkpoint
