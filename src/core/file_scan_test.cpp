#include "core/file_scan.h"

#include <algorithm>
#include <mutex>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"

namespace evenkeel {
namespace {

class FileScan : public ::testing::Test {
 protected:
  static std::string content() {
    std::string text(static_cast<size_t>(9) << 20, 'x');
    text.back() = 'y';
    return text;
  }
  testing::TemporaryFolder folder_;
  MappedFile file_{folder_.write("f", content())};
};

TEST_F(FileScan, ShowsEveryPieceOfTheBeginningOnce) {
  std::mutex mutex;
  std::vector<std::tuple<size_t, size_t, size_t>> seen;
  const size_t bytes = kPieceBytes + 5;
  scan({{&file_, bytes}, {&file_, 3}}, "reading", [&](size_t part, size_t offset, std::string_view piece) {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(piece, file_.text().substr(offset, piece.size()));
    seen.emplace_back(part, offset, piece.size());
  });
  std::sort(seen.begin(), seen.end());
  EXPECT_THAT(seen, ::testing::ElementsAre(std::tuple(size_t{0}, size_t{0}, kPieceBytes),
                                           std::tuple(size_t{0}, kPieceBytes, size_t{5}),
                                           std::tuple(size_t{1}, size_t{0}, size_t{3})));
}

TEST_F(FileScan, PassesErrorsOnAndTakesNothing) {
  EXPECT_THROW(scan({{&file_, file_.size()}}, "reading",
                    [](size_t, size_t offset, std::string_view) { require<DataError>(offset == 0, "no"); }),
               DataError);
  EXPECT_NO_THROW(scan({{&file_, 0}}, "reading", [](size_t, size_t, std::string_view) { FAIL(); }));
  EXPECT_NO_THROW(scan({}, "reading", [](size_t, size_t, std::string_view) { FAIL(); }));
}

}  // namespace
}  // namespace evenkeel
