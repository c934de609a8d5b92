#include "cli/results_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"

namespace evenkeel::cli {
namespace {

TEST(LogResults, SaysTheHeadlinesAndThePage) {
  const testing::TemporaryFolder folder;
  folder.write("results.json", R"({"headlines": ["The loss is 2.", "Nothing is dropped."]})");
  ::testing::internal::CaptureStderr();
  log_results(folder.path());
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, ::testing::StartsWith("evenkeel: The loss is 2.\nevenkeel: Nothing is dropped.\n"));
  EXPECT_THAT(text, ::testing::EndsWith("page: " + (folder / "report.html").string() + "\n"));
}

TEST(LogResults, RefusesAFolderWithoutResults) {
  const testing::TemporaryFolder folder;
  EXPECT_THROW(log_results(folder.path()), DataError);
}

}  // namespace
}  // namespace evenkeel::cli
