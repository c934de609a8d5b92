#include "core/cores.h"

#include <cmath>
#include <thread>

#include <gtest/gtest.h>
#include <sched.h>

#include "support/files.h"

namespace evenkeel {
namespace {

// A made machine: files of /proc and /sys below a folder.
class Cores : public ::testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    root_.write(path, text + "\n");
  }
  void put_core(int cpu, const std::string& siblings, const std::string& file = "core_cpus_list") {
    put("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/" + file, siblings);
  }
  // cgroup v2, whole hierarchy mounted; this process in `group`.
  void put_v2(const std::string& group) {
    put("proc/self/cgroup", "0::" + group);
    put("proc/self/mountinfo",
        "22 1 8:1 / / rw - ext4 /dev/sda rw\n30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 "
        "rw,nsdelegate");
  }
  int64_t count(const std::vector<int>& cpus) const { return count_cores(cpus, root_.path()); }
  testing::TemporaryFolder root_;
};

TEST_F(Cores, SiblingsOfACoreCountOnce) {
  for (const int cpu : {0, 2}) put_core(cpu, "0,2");
  for (const int cpu : {1, 3}) put_core(cpu, "1,3", "thread_siblings_list");
  EXPECT_EQ(count({0, 1, 2, 3}), 2);
  EXPECT_EQ(count({0, 2}), 1);
  EXPECT_EQ(count({1, 2}), 2);
  EXPECT_EQ(count({3}), 1);
}

TEST_F(Cores, WithoutTopologyEachCpuIsACore) {
  EXPECT_EQ(count({0, 1, 5}), 3);
  EXPECT_EQ(count({}), 1);  // at least one, whatever the system says
}

TEST_F(Cores, TheQuotaOfVersion2Bounds) {
  put_v2("/user/job");
  const std::vector<int> eight = {0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(count(eight), 8);  // no cpu.max anywhere
  put("sys/fs/cgroup/user/job/cpu.max", "max 100000");
  EXPECT_EQ(count(eight), 8);
  put("sys/fs/cgroup/user/job/cpu.max", "300000 100000");
  EXPECT_EQ(cgroup_cpus(root_.path()), 3.0);
  EXPECT_EQ(count(eight), 3);
  EXPECT_EQ(count({0, 1}), 2);  // fewer than the quota
  put("sys/fs/cgroup/user/job/cpu.max", "390000 100000");
  EXPECT_EQ(count(eight), 3);  // whole CPUs
  put("sys/fs/cgroup/user/job/cpu.max", "50000 100000");
  EXPECT_EQ(count(eight), 1);
}

TEST_F(Cores, AGroupAboveBoundsToo) {
  put_v2("/user/job/step");
  put("sys/fs/cgroup/user/job/step/cpu.max", "600000 100000");
  put("sys/fs/cgroup/user/cpu.max", "200000 50000");
  EXPECT_EQ(cgroup_cpus(root_.path()), 4.0);
  put("sys/fs/cgroup/cpu.max", "100000 50000");
  EXPECT_EQ(cgroup_cpus(root_.path()), 2.0);
}

// In a container the group's own folder is mounted at the top, and /proc/self/cgroup may name it from the host's point
// of view.
TEST_F(Cores, AContainersGroupIsAtTheTopOfItsMount) {
  put("sys/fs/cgroup/cpu.max", "200000 100000");
  for (const std::string group : {"/", "/docker/abc", "/../other"}) {
    put("proc/self/cgroup", "0::" + group);
    put("proc/self/mountinfo", "30 22 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw");
    EXPECT_EQ(cgroup_cpus(root_.path()), 2.0) << group;
  }
}

TEST_F(Cores, TheQuotaOfVersion1Bounds) {
  put("proc/self/cgroup", "9:cpuset:/a\n4:cpu,cpuacct:/slurm/job_7\n1:name=systemd:/x\n0::/");
  put("proc/self/mountinfo",
      "31 22 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
      "32 22 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
      "33 22 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw");
  const std::string folder = "sys/fs/cgroup/cpu,cpuacct/slurm/job_7/";
  put(folder + "cpu.cfs_quota_us", "-1");
  put(folder + "cpu.cfs_period_us", "100000");
  EXPECT_EQ(cgroup_cpus(root_.path()), INFINITY);
  put(folder + "cpu.cfs_quota_us", "250000");
  EXPECT_EQ(cgroup_cpus(root_.path()), 2.5);
  EXPECT_EQ(count({0, 1, 2, 3}), 2);
}

TEST_F(Cores, WhatCannotBeReadIsNoQuota) {
  EXPECT_EQ(cgroup_cpus(root_.path()), INFINITY);  // no /proc at all
  put("proc/self/cgroup", "nonsense\n0::/job\n:");
  put("proc/self/mountinfo", "nonsense\n30 22 - \n30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw");
  for (const std::string text : {"", "max", "x y", "100000", "100000 0", "-5 100000", "0 0"}) {
    put("sys/fs/cgroup/job/cpu.max", text);
    EXPECT_EQ(cgroup_cpus(root_.path()), INFINITY) << text;
  }
}

TEST_F(Cores, WaitingForACoreIsSummedOverThreads) {
  EXPECT_FALSE(core_wait_seconds(root_.path()).has_value());
  put("proc/self/task/7/comm", "a thread of a system that does not tell");
  EXPECT_FALSE(core_wait_seconds(root_.path()).has_value());
  put("proc/self/task/7/schedstat", "5000000000 1500000000 12");
  put("proc/self/task/8/schedstat", "7000000000 250000000 3");
  EXPECT_DOUBLE_EQ(core_wait_seconds(root_.path()).value(), 1.75);
}

TEST(AllowedCores, FollowTheAffinityOfTheThread) {
  const auto before = allowed_cpus();
  ASSERT_FALSE(before.empty());
  EXPECT_GE(allowed_cores(), 1);
  EXPECT_LE(allowed_cores(), static_cast<int64_t>(before.size()));
  std::thread([&] {  // its affinity ends with it
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(before.back()), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(allowed_cpus(), std::vector<int>{before.back()});
    EXPECT_EQ(allowed_cores(), 1);
  })
      .join();
  EXPECT_EQ(allowed_cpus(), before);
}

}  // namespace
}  // namespace evenkeel
