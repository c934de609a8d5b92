#include "core/content_hash.h"

#include <algorithm>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"

namespace evenkeel {
namespace {

using testing::TemporaryFolder;

class ContentHash : public ::testing::Test {
 protected:
  std::string hash(const std::vector<std::string>& contents) const {
    std::vector<MappedFile> files;
    std::vector<const MappedFile*> mapped;
    files.reserve(contents.size());
    for (size_t i = 0; i < contents.size(); ++i) {
      write_file_atomically(folder_ / std::to_string(i), contents[i]);
      mapped.push_back(&files.emplace_back(folder_ / std::to_string(i)));
    }
    return content_hash(mapped, "reading");
  }
  TemporaryFolder folder_;
};

// Made with the xxhash package of Python: "xxh3:" + xxhash.xxh3_128_hexdigest(b"".join(digests of the pieces of a file,
// then its length as 8 bytes)).
TEST_F(ContentHash, IsThatOfTheWrittenDefinition) {
  EXPECT_EQ(hash({""}), "xxh3:2c0a8a99dc147d5445c3b49d035665b2");
  EXPECT_EQ(hash({"abc"}), "xxh3:00bb8f5bbcc6694e541b81f687d45e2f");
  EXPECT_EQ(hash({"abc", ""}), "xxh3:6946607035b0a8359e1d71fd801bc76c");
  std::string long_text(static_cast<size_t>(9) << 20, '\0');  // three pieces
  for (size_t i = 0; i < long_text.size(); ++i) long_text[i] = static_cast<char>(i * 31 % 251);
  EXPECT_EQ(hash({long_text}), "xxh3:9ecb1edde8206edb154f4348e4e2dadd");
}

TEST_F(ContentHash, ToldApartByEveryByteAndByWhereFilesEnd) {
  std::string text(static_cast<size_t>(5) << 20, 'x');
  const std::string before = hash({text});
  for (const size_t at : {size_t{0}, text.size() / 2, text.size() - 1}) {
    text[at] = 'y';
    EXPECT_NE(hash({text}), before) << at;
    text[at] = 'x';
  }
  EXPECT_EQ(hash({text}), before);
  EXPECT_NE(hash({"ab", "c"}), hash({"a", "bc"}));
  EXPECT_NE(hash({"a", "b"}), hash({"b", "a"}));
}

TEST_F(ContentHash, ShowsEveryPieceOnceAndPassesErrorsOn) {
  const std::string text(static_cast<size_t>(9) << 20, 'x');
  write_file_atomically(folder_ / "f", text);
  const MappedFile file(folder_ / "f");
  std::mutex mutex;
  std::vector<std::pair<size_t, size_t>> seen;
  content_hash({&file}, "reading", [&](size_t number, size_t offset, std::string_view piece) {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(number, 0U);
    seen.emplace_back(offset, piece.size());
  });
  std::sort(seen.begin(), seen.end());
  const size_t mebibyte = size_t{1} << 20;
  EXPECT_THAT(seen, ::testing::ElementsAre(std::pair(size_t{0}, 4 * mebibyte), std::pair(4 * mebibyte, 4 * mebibyte),
                                           std::pair(8 * mebibyte, mebibyte)));
  EXPECT_THROW(content_hash({&file}, "reading",
                            [](size_t, size_t offset, std::string_view) { require<DataError>(offset == 0, "no"); }),
               DataError);
}

TEST_F(ContentHash, StampsSayWhetherAFileWasWritten) {
  write_file_atomically(folder_ / "f", "abc");
  const FileStamp before = stamp_of(folder_ / "f");
  EXPECT_EQ(before.bytes, 3);
  EXPECT_EQ(stamps_from_json(to_json({before})), std::vector{before});
  fs::last_write_time(folder_ / "f", fs::last_write_time(folder_ / "f") + std::chrono::milliseconds(1));
  EXPECT_FALSE(stamp_of(folder_ / "f") == before);
  EXPECT_THROW(stamp_of(folder_ / "g"), DataError);
}

}  // namespace
}  // namespace evenkeel
