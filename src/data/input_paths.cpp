#include "data/input_paths.h"

#include <algorithm>
#include <utility>

#include <fnmatch.h>

#include "core/errors.h"

namespace evenkeel::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAnyFolders = "**";

bool is_pattern(std::string_view text) { return text.find_first_of("*?[") != text.npos; }

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::directory_entry> out;
  const fs::path listed = folder.empty() ? "." : folder;
  for (fs::directory_iterator entry(listed, error), end; !error && entry != end; entry.increment(error))
    out.push_back(*entry);
  require<MachineError>(!error, listed.string(), ": got '", error.message(), "' on listing; need it to succeed");
  return out;
}

// Files below `folder` that match the parts from `next` on.
class Matches {
 public:
  explicit Matches(const fs::path& pattern) : parts_(pattern.begin(), pattern.end()) {
    if (parts_.back() == kAnyFolders) parts_.emplace_back("*");
  }

  std::vector<fs::path> take() {
    add_in({}, 0);
    std::sort(found_.begin(), found_.end(), [](const auto& a, const auto& b) { return a.string() < b.string(); });
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());  // ** twice finds a file in several ways
    return std::move(found_);
  }

 private:
  void add_in(const fs::path& folder, size_t next) {
    const std::string part = parts_[next].string();
    const bool is_last = next + 1 == parts_.size();
    if (part == kAnyFolders) return add_in_all(folder, next);
    if (!is_pattern(part)) return add(folder / part, is_last, next);
    for (const auto& entry : entries_of(folder)) {
      const std::string name = entry.path().filename().string();
      if (fnmatch(part.c_str(), name.c_str(), FNM_PERIOD) == 0) add(folder / name, is_last, next);
    }
  }
  // The parts behind ** in this folder and in those below it.
  void add_in_all(const fs::path& folder, size_t next) {
    add_in(folder, next + 1);
    std::error_code ignored;
    for (const auto& entry : entries_of(folder)) {
      const std::string name = entry.path().filename().string();
      const bool is_below = entry.is_directory(ignored) && !entry.is_symlink(ignored) && !name.starts_with('.');
      if (is_below) add_in_all(folder / name, next);
    }
  }
  void add(const fs::path& path, bool is_last, size_t next) {
    std::error_code ignored;
    if (is_folder(path)) {
      if (!is_last) add_in(path, next + 1);
    } else if (is_last && fs::exists(path, ignored)) {
      found_.push_back(path);
    }
  }

  std::vector<fs::path> parts_, found_;
};

}  // namespace

std::vector<fs::path> expand_inputs(const std::vector<std::string>& arguments, const char* example) {
  std::vector<fs::path> out;
  for (const auto& argument : arguments) {
    const fs::path path = argument;
    std::error_code ignored;
    require<DataError>(!is_folder(path), argument, ": got a folder; need files, as in '",
                       (path / "**" / example).string(), "' (quoted)");
    if (!is_pattern(argument) || fs::exists(path, ignored)) {
      out.push_back(path);
      continue;
    }
    const auto found = Matches(path).take();
    require<DataError>(!found.empty(), argument, ": got no file that matches this pattern; need one at least");
    out.insert(out.end(), found.begin(), found.end());
  }
  return out;
}

}  // namespace evenkeel::data
