#include "core/error_report.h"

#include <filesystem>
#include <new>
#include <stdexcept>
#include <system_error>

#include <gtest/gtest.h>

#include "core/errors.h"

namespace evenkeel {
namespace {

TEST(ErrorReport, KeepsTheCodeOfOurErrors) {
  EXPECT_EQ(describe_error(ConfigError("a: got 1; need 2")).exit_code, 2);
  EXPECT_EQ(describe_error(NumericsError("a: got 1; need 2")).exit_code, 3);
  EXPECT_EQ(describe_error(MachineError("a\nb\x1b[31m\tc: got 1; need 2")).message,
            "a\\nb\\x1b[31m\\tc: got 1; need 2");  // a name may hold anything
  EXPECT_EQ(describe_error(Interrupted("a: got 1; need 2")).exit_code, 130);
}

TEST(ErrorReport, CallsASignalNoError) {
  EXPECT_EQ(describe_error(ConfigError("a: got 1; need 2")).line(), "error: a: got 1; need 2");
  EXPECT_EQ(describe_error(Interrupted("stopped by a signal: saved step 3")).line(),
            "stopped by a signal: saved step 3");
}

TEST(ErrorReport, SaysWhatTheMachineRefuses) {
  EXPECT_EQ(describe_error(std::bad_alloc()).exit_code, 4);
  EXPECT_EQ(describe_error(std::runtime_error("CUDA out of memory. Tried 2 GiB")).exit_code, 4);
  const std::filesystem::filesystem_error denied("list", "/root/x", std::make_error_code(std::errc::permission_denied));
  EXPECT_EQ(describe_error(denied).exit_code, 4);
  EXPECT_EQ(describe_error(denied).message.substr(0, 8), "/root/x:");
  const std::system_error no_thread(std::make_error_code(std::errc::resource_unavailable_try_again));
  EXPECT_EQ(describe_error(no_thread).exit_code, 4);
  EXPECT_EQ(describe_error(no_thread).message.substr(0, 13), "threads: got ");
}

TEST(ErrorReport, TellsALostDeviceFromADefect) {
  for (const char* said :
       {"CUDA error: uncorrectable ECC error encountered\nmore",
        "CUDA error: CUDA-capable device(s) is/are busy or unavailable", "CUDA error: unspecified launch failure"}) {
    const auto report = describe_error(std::runtime_error(said));
    EXPECT_EQ(report.exit_code, 4) << said;
    EXPECT_EQ(report.message.substr(0, 24), "device: got 'CUDA error:");
    EXPECT_EQ(report.message.find('\n'), std::string::npos);
  }
  EXPECT_EQ(describe_error(std::runtime_error("CUDA error: device-side assert triggered")).exit_code, 1);  // ours
}

TEST(ErrorReport, CallsTheRestADefect) {
  const auto report = describe_error(std::logic_error("odd\nsecond line"));
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_EQ(report.message, "evenkeel: got an unexpected 'odd'; please report this defect");
}

}  // namespace
}  // namespace evenkeel
