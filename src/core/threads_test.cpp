#include "core/threads.h"

#include <atomic>
#include <latch>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/errors.h"
#include "support/sanitizer.h"

namespace evenkeel {
namespace {

TEST(Threads, RunTheirWork) {
  std::atomic<int> n_runs = 0;
  start_threads(
      5, [&] { ++n_runs; }, [] {});
  EXPECT_EQ(n_runs, 5);
  EXPECT_NO_THROW(require_threads(5));
}

// In a child process whose address space holds a few more stacks, of 8 MiB as a rule.
TEST(Threads, EndWhenOneCannotBeStarted) {
  if (evenkeel::testing::is_sanitized())
    GTEST_SKIP() << "the sanitizer's shadow is larger than any limit of the address space";
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a hang is a failure
    long pages = 0;
    FILE* statm = std::fopen("/proc/self/statm", "r");
    if (statm == nullptr || std::fscanf(statm, "%ld", &pages) != 1) _exit(10);
    const rlim_t bytes = static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{128} << 20);
    const rlimit space{bytes, bytes};
    setrlimit(RLIMIT_AS, &space);
    std::latch may_end(1);
    int n_stops = 0;
    const auto stop = [&] {
      ++n_stops;
      may_end.count_down();
    };
    try {
      const auto threads = start_threads(
          1000, [&] { may_end.wait(); }, stop);
      may_end.count_down();
    } catch (const MachineError& error) {
      _exit(n_stops == 1 && std::string(error.what()).find(" of 1000; need fewer threads") != std::string::npos ? 0
                                                                                                                : 11);
    }
    _exit(12);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace evenkeel
