#include "core/errors.h"
#include "data/token_files/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

class RawTest : public testing::Test {
 protected:
  std::string refusal(const std::string& name, const std::string& bytes, std::optional<TokenType> dtype = {}) {
    const auto path = folder_.write(name, bytes);
    return message_of<DataError>([&] { TokenFile(path, dtype); });
  }
  TemporaryFolder folder_;
};

TEST_F(RawTest, ReadsIdsOfTheTypeThatIsSaid) {
  const auto path = folder_.write("en.npy", bytes_of<uint16_t>({1, 0, 300, 0}));
  EXPECT_EQ(ids_of(TokenFile(path, TokenType::u16)), (std::vector<int32_t>{1, 0, 300, 0}));
  EXPECT_EQ(ids_of(TokenFile(path, TokenType::u32)), (std::vector<int32_t>{1, 300}));
  EXPECT_STREQ(TokenFile(path, TokenType::u16).kind().name, "raw");
  EXPECT_EQ(TokenFile(folder_.write("empty", ""), TokenType::u16).n_tokens(), 0);
}

TEST_F(RawTest, NeedsTheType) {
  EXPECT_THAT(refusal("en.npy", "1234"), HasSubstr("got a .npy without numpy's header, as OLMo's files of tokens are; "
                                                   "need --dtype with the type of its ids: u8, u16"));
  EXPECT_THAT(refusal("en.bin", "1234"), HasSubstr("got a file without a header of numpy or llm.c; need --dtype"));
}

TEST_F(RawTest, RefusesWhatIsCutOrSomethingElse) {
  EXPECT_THAT(refusal("en.bin", "123", TokenType::u16),
              HasSubstr("en.bin: got 3 bytes; need a multiple of 2, the size of an id of u16"));
  EXPECT_THAT(refusal("en.idx", std::string("MMIDIDX\0\0", 9) + "12345", TokenType::u16),
              HasSubstr("got the index of a pair; need its PREFIX"));
  EXPECT_THAT(refusal("en.bin", "1234", TokenType::u16),
              HasSubstr("en.bin: got a file of the pair; need its PREFIX: " + (folder_ / "en").string()));
  for (const std::string suffix : {".npz", ".gz", ".xz", ".zst", ".zip"})
    EXPECT_THAT(refusal("a" + suffix, "1234", TokenType::u16), HasSubstr("got a packed file (" + suffix + ")"));
}

}  // namespace
}  // namespace evenkeel::data
