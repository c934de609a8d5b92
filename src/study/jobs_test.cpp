#include "study/jobs.h"

#include <chrono>
#include <csignal>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/log.h"
#include "core/mappings.h"
#include "support/files.h"
#include "train/interrupt.h"

namespace evenkeel::study {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::TemporaryFolder;
using Report = std::function<void(int64_t, const std::string&)>;

const auto kNoProgress = [](size_t, int64_t, const std::string&) {};

void sleep_milliseconds(int n) { std::this_thread::sleep_for(std::chrono::milliseconds(n)); }

// A job that leaves a file, and records whether the files of the jobs before it were there.
Job job_of(const TemporaryFolder& folder, const std::string& name, std::vector<size_t> after = {}) {
  return {name, after, [&folder, name](const Report&) {
            sleep_milliseconds(30);
            std::string seen;
            for (const auto& other : folder.names()) seen += other + " ";
            folder.write(name, seen);
          }};
}

TEST(Jobs, RunAllAndWaitForTheirDependencies) {
  const TemporaryFolder folder;
  run_jobs({job_of(folder, "a", {2}), job_of(folder, "b"), job_of(folder, "c"), job_of(folder, "d", {0, 1})}, 4,
           kNoProgress);
  EXPECT_THAT(folder.names(), ::testing::ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(read_file(folder / "a"), HasSubstr("c "));
  EXPECT_EQ(read_file(folder / "d"), "a b c ");
}

TEST(Jobs, OneAtATimeKeepsTheOrder) {
  const TemporaryFolder folder;
  run_jobs({job_of(folder, "a"), job_of(folder, "b"), job_of(folder, "c")}, 1, kNoProgress);
  EXPECT_EQ(read_file(folder / "a"), "");
  EXPECT_EQ(read_file(folder / "b"), "a ");
  EXPECT_EQ(read_file(folder / "c"), "a b ");
}

TEST(Jobs, ProgressComesToTheParentInOrder) {
  std::vector<std::string> news;
  const pid_t parent = getpid();
  run_jobs({{"a",
             {},
             [](const Report& report) {
               report(1, "one\ntwo");  // a line stays a line
               report(20, "");
             }}},
           1, [&](size_t job, int64_t steps, const std::string& text) {
             EXPECT_EQ(getpid(), parent);
             news.push_back(std::to_string(job) + " " + std::to_string(steps) + " " + text);
           });
  EXPECT_THAT(news, ::testing::ElementsAre("0 1 one two", "0 20 "));
}

TEST(Jobs, WarningsComeToTheParentWithTheNameOfTheArm) {
  ::testing::internal::CaptureStderr();
  run_jobs({{"switch-2", {}, [](const Report&) { log_warning("layer 1: all tokens have one expert"); }}}, 1,
           kNoProgress);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "evenkeel: warning: arm switch-2: layer 1: all tokens have one expert\n");
}

TEST(Jobs, ErrorsKeepTheirTypeAndMessage) {
  const auto failing = [](auto error) { return std::vector<Job>{{"a", {}, [error](const Report&) { throw error; }}}; };
  EXPECT_EQ(message_of<ConfigError>([&] { run_jobs(failing(ConfigError("r.toml: got 1; need 2")), 1, kNoProgress); }),
            "r.toml: got 1; need 2");
  EXPECT_EQ(message_of<NumericsError>([&] { run_jobs(failing(NumericsError("step 3: got inf")), 1, kNoProgress); }),
            "step 3: got inf");
  EXPECT_EQ(message_of<MachineError>([&] { run_jobs(failing(MachineError("disk full")), 1, kNoProgress); }),
            "disk full");
  EXPECT_EQ(message_of<Interrupted>([&] { run_jobs(failing(Interrupted("saved")), 1, kNoProgress); }), "saved");
  EXPECT_THROW(run_jobs(failing(std::runtime_error("a defect")), 1, kNoProgress), std::runtime_error);
  try {
    run_jobs(failing(DataError("held.bin: got 1 token")), 1, kNoProgress);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
  }
}

TEST(Jobs, AFailureStopsTheOthersAndStartsNoMore) {
  const TemporaryFolder folder;
  const Job waits = {"waits", {}, [&](const Report&) {
                       train::install_signal_handlers();
                       train::save_on_signal();
                       train::listen_to_parent();
                       folder.write("waiting", "");
                       for (int i = 0; i < 1000 && !train::stop_requested(); ++i) sleep_milliseconds(10);
                       folder.write(train::stop_requested() ? "stopped" : "never", "");
                     }};
  const Job fails = {"fails", {}, [&](const Report&) {
                       for (int i = 0; i < 1000 && !std::filesystem::exists(folder / "waiting"); ++i)
                         sleep_milliseconds(10);
                       throw NumericsError("step 1: got nan");
                     }};
  const auto message = message_of<NumericsError>([&] {
    run_jobs({waits, fails, job_of(folder, "later"), job_of(folder, "dependent", {1})}, 2, kNoProgress);
  });
  EXPECT_EQ(message, "step 1: got nan");
  EXPECT_THAT(folder.names(), ::testing::ElementsAre("stopped", "waiting"));
}

TEST(Jobs, AProcessThatDiesIsTheMachinesFault) {
  const auto message = message_of<MachineError>([] {
    run_jobs({{"heavy", {}, [](const Report&) { raise(SIGKILL); }}}, 1, kNoProgress);
  });
  EXPECT_THAT(message, HasSubstr("heavy"));
  EXPECT_THAT(message, HasSubstr("signal 9"));
}

TEST(Jobs, NoneIsDoneAtOnce) { run_jobs({}, 2, kNoProgress); }

TEST(Jobs, AFileThatShrinksUnderAnArmIsSaidWithItsName) {
  const TemporaryFolder folder;
  const auto path = folder.write("en.bin", std::string(1 << 20, 'x'));
  const Job job{"dense", {}, [&](const Report&) {
                  install_mapping_faults();
                  const MappedFile file(path);
                  std::filesystem::resize_file(path, 0);
                  volatile const std::byte* data = file.data();
                  static_cast<void>(data[file.size() - 1]);
                }};
  EXPECT_THAT(
      message_of<MachineError>([&] { run_jobs({job}, 1, kNoProgress); }),
      ::testing::StartsWith("arm dense: " + path.string() + ": got 0 bytes while it is read; need the 1048576"));
}

}  // namespace
}  // namespace evenkeel::study
