#include "core/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file_io.h"
#include "support/files.h"

namespace evenkeel {
namespace {

// The capture makes stderr a file: what is not a terminal.
template <class F>
std::string stderr_of(F&& call) {
  ::testing::internal::CaptureStderr();
  call();
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, PrefixesLines) {
  EXPECT_EQ(stderr_of([] { log_info("step ", 3, " of ", 4); }), "evenkeel: step 3 of 4\n");
  EXPECT_EQ(stderr_of([] { log_warning("disk"); }), "evenkeel: warning: disk\n");
}

TEST(Log, PrintsNothingThatATerminalObeys) {
  EXPECT_EQ(stderr_of([] { log_info("arm a\x1b[31m\nb"); }), "evenkeel: arm a\\x1b[31m\\nb\n");
  EXPECT_EQ(stderr_of([] { log_warning("\x07"); }), "evenkeel: warning: \\x07\n");
}

TEST(Log, HandsWarningsToASinkInPlaceOfStderr) {
  std::string heard;
  set_warning_sink([&](const std::string& line) { heard += line; });
  EXPECT_EQ(stderr_of([] { log_warning("disk"); }), "");
  set_warning_sink({});
  EXPECT_EQ(heard, "disk");
  EXPECT_EQ(stderr_of([] { log_warning("disk"); }), "evenkeel: warning: disk\n");
}

TEST(Log, QuietHidesInformationAndKeepsWarnings) {
  set_quiet(true);
  EXPECT_EQ(stderr_of([] { log_info("hidden"); }), "");
  EXPECT_EQ(stderr_of([] { log_warning("shown"); }), "evenkeel: warning: shown\n");
  EXPECT_EQ(stderr_of([] {
              Progress progress("train", 10, "step");
              progress.update(5);
            }),
            "");
  set_quiet(false);
}

TEST(Log, CopiesLinesToAFile) {
  const testing::TemporaryFolder folder;
  folder.write("log.txt", "before\n");
  copy_log_to((folder / "log.txt").string());
  stderr_of([] { log_info("one"); });
  copy_log_to("");
  stderr_of([] { log_info("two"); });
  EXPECT_EQ(read_file(folder / "log.txt"), "before\nevenkeel: one\n");
}

TEST(Progress, PrintsPlainLinesWhenNotATerminal) {
  if (isatty(STDERR_FILENO) == 1) GTEST_SKIP();  // the console looked at stderr before the capture
  const std::string text = stderr_of([] {
    Progress progress("reading", 2e6, "MB", 1e6);
    for (int i = 1; i <= 1000; ++i) progress.update(2000.0 * i, "en");
  });
  EXPECT_EQ(text.find_first_of("\r\033"), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;  // a short run: its end alone
  EXPECT_THAT(text, ::testing::StartsWith("evenkeel: reading 100% "));
  EXPECT_THAT(text, ::testing::ContainsRegex("  took [^ ]+  en  [^ ]+ [MGT]B/s\n$"));
}

TEST(Progress, WithoutAUnitSaysNoRate) {
  if (isatty(STDERR_FILENO) == 1) GTEST_SKIP();  // the console looked at stderr before the capture
  const std::string text = stderr_of([] {
    Progress progress("measuring", 4, "");
    progress.update(4, "2 of 2 models");
  });
  EXPECT_THAT(text, ::testing::StartsWith("evenkeel: measuring 100%  took "));
  EXPECT_THAT(text, ::testing::EndsWith("  2 of 2 models\n"));
}

TEST(Progress, SaysNothingWhileAnExceptionUnwindsIt) {
  const auto fails = [] {
    Progress progress("reading", 10, "step");
    progress.update(5);
    fail<DataError>("in.txt: got nothing");
  };
  EXPECT_EQ(stderr_of([&] { EXPECT_THROW(fails(), DataError); }), "");
}

TEST(Progress, SaysNothingWhenNothingWasDone) {
  EXPECT_EQ(stderr_of([] { const Progress progress("idle", 10, "step"); }), "");
}

}  // namespace
}  // namespace evenkeel
