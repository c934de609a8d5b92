// How much memory this process may take, and how much it has taken.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace evenkeel::train {

// Where the system says it; tests make their own.
struct SystemFiles {
  std::filesystem::path proc = "/proc", cgroup = "/sys/fs/cgroup";
};

double machine_memory_bytes();  // all of the machine's, in use or not; 0 when unknown

struct AvailableMemory {
  double bytes = 0;    // 0 when unknown
  std::string source;  // what sets the bound, for messages: "the machine", the folder of a cgroup, or "RLIMIT_DATA"
};
// The least of what the machine has free (MemAvailable), of each cgroup (v1 or v2) that this process is in, limit -
// usage, and of RLIMIT_DATA, where it is set, what the process has not taken. Pages of files that the kernel can take
// back do not count as usage.
AvailableMemory available_memory(const SystemFiles& files = {});

// The most memory that this process has had at once (VmHWM), pages of mapped files included; 0 when unknown.
int64_t peak_rss_bytes(const SystemFiles& files = {});

bool fits_memory(double bytes);  // no more than there is, as far as that is known
// ConfigError when `bytes` is more than there is.
void require_memory(double bytes, const std::string& what);

}  // namespace evenkeel::train
