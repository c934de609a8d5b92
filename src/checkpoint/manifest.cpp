#include "checkpoint/manifest.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>
#include <stdexcept>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "checkpoint/safetensors_header.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/json.h"
#include "core/log.h"
#include "core/output.h"

namespace evenkeel::checkpoint {
namespace {

constexpr const char* kManifestName = "manifest.json";
constexpr const char* kFormat = "evenkeel.manifest.v1";
constexpr int64_t kMaxManifestBytes = int64_t{16} << 20;
constexpr const char* kSavingPrefix = ".evenkeel-saving-";      // + name of the folder: being written
constexpr const char* kReplacedPrefix = ".evenkeel-replaced-";  // + name of the folder: about to be removed

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
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.is_regular_file()) throw std::logic_error("save_folder: " + entry.path().string() + " is no file");
    names.push_back(entry.path().filename().string());
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

// Puts `temporary` in the place of `folder`. A kill between the two renames leaves `folder` absent.
void put_in_place(const fs::path& temporary, const fs::path& folder) {
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
  require<CheckpointError>(is_plain_file_name(out.name) && out.name != kManifestName, where, ": name: got ",
                           shown_name(out.name), "; need a file of the same folder, without '/' and '..'");
  out.bytes = wanted_key(json, "bytes", &Json::is_integer, where, "an integer").as_int();
  require<CheckpointError>(out.bytes >= 0, where, ": bytes: got ", out.bytes, "; need at least 0");
  out.sha256 = wanted_key(json, "sha256", &Json::is_string, where, "a string").as_string();
  require<CheckpointError>(is_sha256(out.sha256), where, ": sha256: got ", shown_name(out.sha256),
                           "; need 64 hexadecimal digits");
  return out;
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

void save_folder(const fs::path& folder, const std::function<void(const fs::path& temporary)>& write_files) {
  const fs::path target = folder.has_filename() ? folder : folder.parent_path();
  const fs::path parent = target.has_parent_path() ? target.parent_path() : fs::path(".");
  const fs::path temporary = parent / (kSavingPrefix + target.filename().string());
  require_own_outputs({{target, OutputKind::checkpoint}});
  make_folders(parent);
  remove_leftovers(parent);
  make_folders(temporary);
  const FolderLock lock(temporary);
  require<MachineError>(lock.is_held(), temporary.string(), ": got a save by another process; need to be the only one");
  try {
    write_files(temporary);
    write_file_atomically(temporary / kManifestName, manifest_of(temporary).dump(1) + "\n");
    put_in_place(temporary, target);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
}

void remove_folder(const fs::path& folder) {
  const fs::path replaced = folder.parent_path() / (kReplacedPrefix + folder.filename().string());
  std::error_code ignored;
  fs::remove_all(replaced, ignored);
  rename_synced(folder, replaced);
  fs::remove_all(replaced, ignored);
}

void remove_leftovers(const fs::path& parent) {
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kSavingPrefix) || name.starts_with(kReplacedPrefix)) leftovers.push_back(entry.path());
  }
  for (const auto& path : leftovers) {
    const FolderLock lock(path);
    if (lock.is_held()) fs::remove_all(path, error);
  }
}

void verify_folder(const fs::path& folder, bool deep) {
  for (const auto& file : read_manifest(folder)) check_file(folder / file.name, file, deep);
}

void require_only_listed(const fs::path& folder) {
  std::set<std::string> names{kManifestName}, unlisted;
  for (const auto& file : read_manifest(folder)) names.insert(file.name);
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!names.contains(name)) unlisted.insert(name);
  }
  require<CheckpointError>(unlisted.empty(), folder.string(), ": got file ",
                           unlisted.empty() ? "" : shown_name(*unlisted.begin()), ", which ", kManifestName,
                           " does not list; need only what it lists");
}

std::vector<fs::path> step_folders(const fs::path& run) {
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", error))
    if (entry.path().filename().string().starts_with("step-")) out.push_back(entry.path());
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return std::pair(a.native().size(), a.native()) < std::pair(b.native().size(), b.native()); });  // whatever the number of digits
  return out;
}

std::optional<fs::path> take_newest_whole(const fs::path& run) {
  auto folders = step_folders(run);
  for (; !folders.empty(); folders.pop_back()) {
    const fs::path& checkpoint = folders.back();
    try {
      verify_folder(checkpoint, /*deep=*/true);
      return checkpoint;
    } catch (const CheckpointError& error) {
      const fs::path aside = checkpoint.parent_path() / ("damaged-" + checkpoint.filename().string());
      log_warning("passed over a damaged checkpoint, now ", aside.string(), ": ", error.what());
      fs::remove_all(aside);
      rename_synced(checkpoint, aside);
    }
  }
  return std::nullopt;
}

std::vector<int64_t> saved_steps(const fs::path& run) {
  std::vector<int64_t> out;
  for (const auto& folder : step_folders(run)) {
    const std::string name = folder.filename().string();
    if (name.size() < 13 || name.size() > 20) continue;
    if (name.find_first_not_of("0123456789", 5) != name.npos) continue;
    const int64_t step = std::stoll(name.substr(5));
    if (name != step_folder_name(step)) continue;
    try {
      verify_folder(folder, /*deep=*/false);
    } catch (const CheckpointError&) {
      continue;  // not whole: the run goes on from the one before
    }
    out.push_back(step);
  }
  return out;
}

}  // namespace evenkeel::checkpoint
