#include "train/memory_limit.h"

#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include <unistd.h>

#include "core/errors.h"
#include "core/units.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;
constexpr double kKibibyte = 1024;

// The number after `key` at the beginning of a line, as in "MemAvailable:  12 kB" and "inactive_file 4096".
std::optional<double> number_of(const fs::path& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    double value = 0;
    if (words >> name && name == key && words >> value) return value;
  }
  return std::nullopt;
}

// The number that a file is; none where it is not there or says "max".
std::optional<double> number_in(const fs::path& path) {
  std::ifstream file(path);
  double value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

// The names of one version of cgroups.
struct CgroupFiles {
  const char *limit, *usage, *stat_prefix;
};
constexpr CgroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_"},
                      kVersion2 = {"memory.max", "memory.current", ""};

// What one cgroup leaves; none without a limit. A limit near 2^63 is how version 1 says that there is none.
std::optional<double> left_in(const fs::path& folder, const CgroupFiles& names) {
  constexpr double kNoLimit = 1e18;
  const auto limit = number_in(folder / names.limit), usage = number_in(folder / names.usage);
  if (!limit || !usage || *limit >= kNoLimit) return std::nullopt;
  double reclaimable = 0;
  for (const char* key : {"inactive_file", "active_file"})
    reclaimable += number_of(folder / "memory.stat", std::string(names.stat_prefix) + key).value_or(0);
  return std::max(0.0, *limit - std::max(0.0, *usage - reclaimable));
}

// `path` below `root` and every folder between them: a limit binds all that is under it. In a container `path` may be
// the host's, of which only the root is there.
void take_least(const fs::path& root, const std::string& path, const CgroupFiles& names, AvailableMemory& least) {
  fs::path folder = root;
  std::vector<fs::path> folders = {root};
  for (const auto& part : fs::path(path).relative_path()) folders.push_back(folder /= part);
  for (const auto& at : folders) {
    const auto left = left_in(at, names);
    if (left && (least.bytes == 0 || *left < least.bytes)) least = {std::max(1.0, *left), at.string()};
  }
}

// What RLIMIT_DATA leaves for memory of the process's own; none without such a limit.
std::optional<double> left_by_rlimit(const fs::path& proc) {
  constexpr std::string_view kName = "Max data size";  // then the soft limit
  std::ifstream limits(proc / "self" / "limits");
  for (std::string line; std::getline(limits, line);) {
    if (!line.starts_with(kName)) continue;
    std::istringstream words(line.substr(kName.size()));
    const auto used = number_of(proc / "self" / "status", "VmData:");
    if (double limit = 0; used && words >> limit) return std::max(1.0, limit - *used * kKibibyte);
  }
  return std::nullopt;  // "unlimited"
}

}  // namespace

double machine_memory_bytes() {
  const auto pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGE_SIZE);
  return pages > 0 && page_bytes > 0 ? static_cast<double>(pages) * static_cast<double>(page_bytes) : 0.0;
}

AvailableMemory available_memory(const SystemFiles& files) {
  AvailableMemory out{number_of(files.proc / "meminfo", "MemAvailable:").value_or(0) * kKibibyte, "the machine"};
  std::ifstream groups(files.proc / "self" / "cgroup");
  for (std::string line; std::getline(groups, line);) {  // "NUMBER:CONTROLLERS:PATH"; version 2 names no controllers
    const size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",",
                      path = line.substr(second + 1);
    if (controllers == ",,") {
      for (const auto& root : {files.cgroup, files.cgroup / "unified"}) take_least(root, path, kVersion2, out);
    } else if (controllers.find(",memory,") != std::string::npos) {
      take_least(files.cgroup / "memory", path, kVersion1, out);
    }
  }
  const auto left = left_by_rlimit(files.proc);
  if (left && (out.bytes == 0 || *left < out.bytes)) out = {*left, "RLIMIT_DATA"};
  return out;
}

int64_t peak_rss_bytes(const SystemFiles& files) {
  return static_cast<int64_t>(number_of(files.proc / "self" / "status", "VmHWM:").value_or(0)) * 1024;
}

bool fits_memory(double bytes) {
  const auto there = available_memory();
  return there.bytes <= 0 || bytes <= there.bytes;
}

void require_memory(double bytes, const std::string& what) {
  const auto there = available_memory();
  require<ConfigError>(there.bytes <= 0 || bytes <= there.bytes, what, ": got a model that takes about ",
                       human_bytes(bytes), "; need at most the ", human_bytes(there.bytes), " that ", there.source,
                       " has free (see evenkeel plan)");
}

}  // namespace evenkeel::train
