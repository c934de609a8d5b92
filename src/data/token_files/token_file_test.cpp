#include "data/token_files/token_file.h"

#include <fstream>

#include "core/errors.h"
#include "core/file_scan.h"
#include "data/token_files/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

TEST(TokenFile, NamesTheFirstIdThatIsOutside) {
  const TemporaryFolder folder;
  const TokenFile file(folder.write("en", bytes_of<int32_t>({5, 9, -3, 9})), TokenType::i32);
  EXPECT_NO_THROW(file.require_ids(0, 2, 10));
  EXPECT_NO_THROW(file.require_ids(3, 1, 10));
  EXPECT_NO_THROW(file.require_ids(0, 0, 1));
  EXPECT_THAT(message_of<DataError>([&] { file.require_ids(1, 3, 10); }),
              HasSubstr("en: got id -3 at token 2; need 0..9 (vocab_size 10)"));
  EXPECT_THAT(message_of<DataError>([&] { file.require_ids(0, 4, 9); }), HasSubstr("got id 9 at token 1"));
}

TEST(TokenFile, IsMissing) {
  EXPECT_THAT(message_of<DataError>([] { TokenFile("/none/such.npy", TokenType::u16); }),
              HasSubstr("/none/such.npy: got no such file"));
}

TEST(TokenFile, NoticesThatItGetsShorter) {
  const TemporaryFolder folder;
  const auto path = folder.write("en", std::string(100, '\0'));
  const TokenFile file(path, TokenType::u16);
  file.release(0, 10);
  fs::resize_file(path, 60);
  EXPECT_THROW(file.release(0, 10), MachineError);
}

// More than a piece of the scan, at an address where ids lie across its borders; the extremes at either side of one.
TEST(TokenFile, FindsTheLargestIdOfSeveralFilesWhereverItStands) {
  const TemporaryFolder folder;
  const std::string text = "{'descr': '<u4', 'fortran_order': False, 'shape': (1100000,), }\n";
  const std::string start =
      std::string("\x93NUMPY\1\0", 8) + bytes_of<uint16_t>({static_cast<uint16_t>(text.size())}) + text;
  ASSERT_NE(start.size() % 4, 0U);
  const auto small = folder.write("small.npy", npy_start("<u2", "(2,)") + bytes_of<uint16_t>({4, 5}));
  const int64_t border = (static_cast<int64_t>(kPieceBytes) - static_cast<int64_t>(start.size())) / 4;
  for (const int64_t place : {int64_t{0}, border - 1, border, border + 1, int64_t{1'099'999}}) {
    std::vector<uint32_t> ids(1'100'000, 9);
    ids[static_cast<size_t>(place)] = 4'000'000'000;
    std::vector<TokenFile> files;
    files.emplace_back(small, std::nullopt);
    files.emplace_back(folder.write("large.npy", start + bytes_of(ids)), std::nullopt);
    const IdBounds bounds = bounds_of(files);
    EXPECT_EQ(bounds.smallest, 4) << place;
    EXPECT_EQ(bounds.largest, 4'000'000'000) << place;
  }
}

}  // namespace
}  // namespace evenkeel::data
