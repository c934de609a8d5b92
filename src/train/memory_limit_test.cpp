#include "train/memory_limit.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"

namespace evenkeel::train {
namespace {

// A made /proc and /sys/fs/cgroup; 1000 kB are free on the machine.
class MemoryLimit : public ::testing::Test {
 protected:
  MemoryLimit() {
    write("proc/meminfo", "MemTotal:       4000 kB\nMemFree:         500 kB\nMemAvailable:   1000 kB\n");
  }
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    folder_.write(name, text);
  }
  AvailableMemory available() const { return available_memory({folder_ / "proc", folder_ / "cgroup"}); }
  testing::TemporaryFolder folder_;
};

TEST_F(MemoryLimit, IsTheMachinesWithoutCgroups) {
  EXPECT_EQ(available().bytes, 1000 * 1024);
  EXPECT_EQ(available().source, "the machine");
}

TEST_F(MemoryLimit, KnowsVersion2AndWhatTheKernelCanTakeBack) {
  write("proc/self/cgroup", "0::/job/step\n");
  write("cgroup/job/step/memory.max", "max\n");
  write("cgroup/job/step/memory.current", "70000\n");
  write("cgroup/job/memory.max", "100000\n");  // a limit above binds too
  write("cgroup/job/memory.current", "90000\n");
  write("cgroup/job/memory.stat", "anon 50000\nfile 40000\ninactive_file 30000\nactive_file 5000\n");
  EXPECT_EQ(available().bytes, 100000 - (90000 - 35000));
  EXPECT_EQ(available().source, (folder_ / "cgroup/job").string());
}

TEST_F(MemoryLimit, KnowsVersion1) {
  write("proc/self/cgroup", "4:cpu,cpuacct:/a\n3:memory:/job\n0::/\n");
  write("cgroup/memory/job/memory.limit_in_bytes", "200000\n");
  write("cgroup/memory/job/memory.usage_in_bytes", "50000\n");
  write("cgroup/memory/job/memory.stat", "cache 9\ninactive_file 1\ntotal_inactive_file 10000\ntotal_active_file 0\n");
  write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");  // none
  write("cgroup/memory/memory.usage_in_bytes", "5\n");
  EXPECT_EQ(available().bytes, 200000 - 40000);
}

// What the process has taken of its own memory counts, and not what it has mapped.
TEST_F(MemoryLimit, KnowsTheLimitOfTheProcess) {
  write("proc/self/status", "VmRSS:    900 kB\nVmData:      200 kB\n");
  const std::string head = "Limit                     Soft Limit           Hard Limit           Units\n";
  write("proc/self/limits", head + "Max data size             unlimited            unlimited            bytes\n");
  EXPECT_EQ(available().source, "the machine");
  write("proc/self/limits", head + "Max data size             512000               unlimited            bytes\n");
  EXPECT_EQ(available().bytes, 512000 - 200 * 1024);
  EXPECT_EQ(available().source, "RLIMIT_DATA");
  write("proc/self/limits", head + "Max data size             100000               unlimited            bytes\n");
  EXPECT_EQ(available().bytes, 1);  // nothing is left
  write("proc/self/limits", head + "Max data size             99000000             unlimited            bytes\n");
  EXPECT_EQ(available().source, "the machine");
}

// In a container the path is the host's, and its folder is mounted as the root.
TEST_F(MemoryLimit, FallsBackToTheRootOfAContainer) {
  write("proc/self/cgroup", "0::/system.slice/docker-1.scope\n");
  write("cgroup/memory.max", "65536\n");
  write("cgroup/memory.current", "4096\n");
  EXPECT_EQ(available().bytes, 61440);
}

TEST_F(MemoryLimit, AGroupThatIsFullLeavesNothingAndIsNotUnknown) {
  write("proc/self/cgroup", "0::/\n");
  write("cgroup/memory.max", "4096\n");
  write("cgroup/memory.current", "8192\n");
  EXPECT_EQ(available().bytes, 1);
}

TEST_F(MemoryLimit, IsTheMachinesWhereTheGroupHasMore) {
  write("proc/self/cgroup", "damaged\n0::/\n");
  write("cgroup/memory.max", "99999999\n");
  write("cgroup/memory.current", "0\n");
  EXPECT_EQ(available().source, "the machine");
}

TEST_F(MemoryLimit, ThePeakIsThatOfTheProcess) {
  write("proc/self/status", "Name:\tx\nVmPeak:\t  99 kB\nVmHWM:\t  12 kB\nVmRSS:\t  3 kB\n");
  EXPECT_EQ(peak_rss_bytes({folder_ / "proc", folder_ / "cgroup"}), 12 * 1024);
  EXPECT_EQ(peak_rss_bytes({folder_ / "nowhere", folder_ / "cgroup"}), 0);
  // A real one: it grows with what is touched.
  const int64_t before = peak_rss_bytes();
  const std::vector<char> touched(size_t{64} << 20, 1);
  EXPECT_GE(peak_rss_bytes(), std::max(before, static_cast<int64_t>(touched.size())));
}

TEST(RequireMemory, RefusesMoreThanThereIs) {
  const double there = available_memory().bytes;
  ASSERT_GT(there, 1e6);
  EXPECT_LE(there, machine_memory_bytes());
  require_memory(there / 2, "model");
  const auto message = testing::message_of<ConfigError>([&] { require_memory(there * 2, "model"); });
  EXPECT_THAT(message, ::testing::StartsWith("model: got a model that takes about "));
  EXPECT_THAT(message, ::testing::HasSubstr(" has free (see evenkeel plan)"));
}

}  // namespace
}  // namespace evenkeel::train
