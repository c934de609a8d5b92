// How many cores this process may use: the default of every --threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace evenkeel {

// The CPUs that the calling thread may run on (sched_getaffinity), ascending; empty where the system does not tell.
std::vector<int> allowed_cpus();

// The CPU time that control groups leave to this process, in CPUs: the least quota of its group and of those above it,
// by cgroup v2 (cpu.max) and v1 (cpu.cfs_quota_us). Infinity without one. `root` is where /proc and /sys hang.
double cgroup_cpus(const std::filesystem::path& root);

// The physical cores among `cpus` (siblings of a core count once; a CPU of which /sys says nothing is a core), at most
// the whole CPUs that cgroups leave: a thread without its CPU would hold up all others at the end of each operation. At
// least 1.
int64_t count_cores(const std::vector<int>& cpus, const std::filesystem::path& root);

// Of this process, now.
int64_t allowed_cores();

// How long the threads that `root`/proc/self has were ready to run and waited for a core, in all (the second number of
// their schedstat); none where the system does not tell.
std::optional<double> core_wait_seconds(const std::filesystem::path& root = "/");

}  // namespace evenkeel
