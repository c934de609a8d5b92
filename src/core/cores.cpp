#include "core/cores.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <thread>

#include <sched.h>

namespace evenkeel {
namespace {

namespace fs = std::filesystem;
constexpr double kNoQuota = std::numeric_limits<double>::infinity();

// The first line; empty when there is no such file. Not read_file: files of /proc and /sys say that their size is 0.
std::string first_line_of(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "A B" of cpu.max, or of the two files of v1: microseconds of CPU time in each period. "max", -1 or nothing: no quota.
double quota(const std::string& text) {
  std::istringstream words(text);
  double quota_us = 0, period_us = 0;
  words >> quota_us >> period_us;
  return words && quota_us > 0 && period_us > 0 ? quota_us / period_us : kNoQuota;
}

struct Mount {
  std::string root, point;  // which folder of the hierarchy hangs where
};

// A line of /proc/self/mountinfo: "36 35 98:0 ROOT POINT options [tags] - TYPE source superoptions".
bool read_cgroup_mount(const std::string& line, bool is_v2, Mount& mount) {
  const size_t dash = line.find(" - ");
  if (dash == std::string::npos) return false;
  std::istringstream before(line.substr(0, dash)), after(line.substr(dash + 3));
  std::string id, parent, device, type, source, options;
  before >> id >> parent >> device >> mount.root >> mount.point;
  after >> type >> source >> options;
  if (is_v2) return type == "cgroup2";
  return type == "cgroup" && ("," + options + ",").find(",cpu,") != std::string::npos;
}

// The folders of a group and of those above it, as far as they are mounted. A mount that shows a group further down
// than this process's (as in a container) shows the container's own group at its top.
std::vector<fs::path> group_folders(const fs::path& root, const std::string& group, bool is_v2) {
  std::vector<fs::path> out;
  std::ifstream mounts(root / "proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    Mount mount;
    if (!read_cgroup_mount(line, is_v2, mount)) continue;
    const fs::path top = root / fs::path(mount.point).relative_path();
    fs::path below = fs::path(group).lexically_relative(mount.root);
    if (below.empty() || *below.begin() == "..") below = ".";
    for (;;) {
      out.push_back(top / below);
      if (below == "." || below.empty()) break;
      below = below.has_parent_path() ? below.parent_path() : fs::path(".");
    }
  }
  return out;
}

}  // namespace

std::vector<int> allowed_cpus() {
  std::vector<int> out;
  for (int n = CPU_SETSIZE; n <= (1 << 20); n *= 2) {  // the kernel refuses a set that is smaller than its own
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(n));
    if (set == nullptr) return out;
    const size_t size = CPU_ALLOC_SIZE(static_cast<size_t>(n));
    CPU_ZERO_S(size, set);
    const bool is_read = sched_getaffinity(0, size, set) == 0;
    for (int cpu = 0; is_read && cpu < n; ++cpu)
      if (CPU_ISSET_S(static_cast<size_t>(cpu), size, set)) out.push_back(cpu);
    CPU_FREE(set);
    if (is_read) return out;
  }
  return out;
}

double cgroup_cpus(const fs::path& root) {
  double least = kNoQuota;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "0::PATH" of v2, "N:cpu,cpuacct:PATH" of v1
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_v2 = controllers.empty();
    if (!is_v2 && ("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
    for (const auto& folder : group_folders(root, line.substr(second + 1), is_v2)) {
      const std::string text =
          is_v2 ? first_line_of(folder / "cpu.max")
                : first_line_of(folder / "cpu.cfs_quota_us") + " " + first_line_of(folder / "cpu.cfs_period_us");
      least = std::min(least, quota(text));
    }
  }
  return least;
}

int64_t count_cores(const std::vector<int>& cpus, const fs::path& root) {
  std::set<std::string> cores;
  for (const int cpu : cpus) {
    const std::string name = "cpu" + std::to_string(cpu);
    const fs::path topology = root / "sys/devices/system/cpu" / name / "topology";
    std::string siblings = first_line_of(topology / "core_cpus_list");
    if (siblings.empty()) siblings = first_line_of(topology / "thread_siblings_list");  // its name before Linux 5.3
    cores.insert(siblings.empty() ? name : siblings);
  }
  const double quota = std::floor(cgroup_cpus(root));
  const auto n_cores = static_cast<int64_t>(cores.size());
  return std::max<int64_t>(1, quota < static_cast<double>(n_cores) ? static_cast<int64_t>(quota) : n_cores);
}

std::optional<double> core_wait_seconds(const fs::path& root) {
  std::optional<double> sum;
  std::error_code error;
  for (const auto& thread : fs::directory_iterator(root / "proc/self/task", error)) {
    std::istringstream words(
        first_line_of(thread.path() / "schedstat"));  // nanoseconds on a core, waiting for one, and turns
    double ran = 0, waited = 0;
    if (words >> ran >> waited) sum = sum.value_or(0) + 1e-9 * waited;
  }
  return sum;
}

int64_t allowed_cores() {
  std::vector<int> cpus = allowed_cpus();
  for (unsigned cpu = 0; cpus.empty() && cpu < std::thread::hardware_concurrency(); ++cpu)
    cpus.push_back(static_cast<int>(cpu));
  return count_cores(cpus, "/");
}

}  // namespace evenkeel
