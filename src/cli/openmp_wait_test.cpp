#include "cli/openmp_wait.h"

#include <gtest/gtest.h>

namespace evenkeel::cli {
namespace {

// What the program does at its start is in tests/e2e/start_test.py.
TEST(WaitSetting, AnyOfARuntimesOwnCounts) {
  for (const char* setting : {"OMP_WAIT_POLICY=active", "OMP_WAIT_POLICY=", "GOMP_SPINCOUNT=0",
                              "KMP_BLOCKTIME=infinite", "KMP_LIBRARY=turnaround"}) {
    const char* environment[] = {"HOME=/root", setting, nullptr};
    EXPECT_TRUE(has_wait_setting(environment)) << setting;
  }
}

TEST(WaitSetting, OthersDoNotCount) {
  const char* none[] = {nullptr};
  EXPECT_FALSE(has_wait_setting(none));
  const char* others[] = {"OMP_NUM_THREADS=2",
                          "XGOMP_SPINCOUNT=1",
                          "OMP_WAIT_POLICY",
                          "GOMP_SPINCOUNTS=1",
                          "omp_wait_policy=active",
                          "",
                          nullptr};
  EXPECT_FALSE(has_wait_setting(others));
}

TEST(WaitSetting, OursIsOneThatCounts) {
  const char* ours[] = {kWaitSetting, nullptr};
  EXPECT_TRUE(has_wait_setting(ours));  // so that it is set once
}

}  // namespace
}  // namespace evenkeel::cli
