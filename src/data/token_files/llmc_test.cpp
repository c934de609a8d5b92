#include "core/errors.h"
#include "data/token_files/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

constexpr int32_t kGpt2 = 20240520, kLlama3 = 20240801;

class LlmcTest : public testing::Test {
 protected:
  TokenFile open(const std::string& bytes, std::optional<TokenType> dtype = {}) {
    return {folder_.write("en.bin", bytes), dtype};
  }
  std::string refusal(const std::string& bytes) {
    return message_of<DataError>([&] { open(bytes); });
  }
  TemporaryFolder folder_;
};

TEST_F(LlmcTest, ReadsBothVersions) {
  const TokenFile gpt2 = open(llmc_start(kGpt2, 1, 3) + bytes_of<uint16_t>({50256, 7, 65535}));
  EXPECT_STREQ(gpt2.kind().name, "llmc");
  EXPECT_EQ(ids_of(gpt2), (std::vector<int32_t>{50256, 7, 65535}));
  const TokenFile llama3 = open(llmc_start(kLlama3, 7, 2) + bytes_of<uint32_t>({128000, 7}));
  EXPECT_EQ(ids_of(llama3), (std::vector<int32_t>{128000, 7}));
  EXPECT_EQ(llama3.kind().mark, DocumentMark::begins);
}

TEST_F(LlmcTest, RefusesWhatItsHeaderDoesNotSay) {
  const std::string ids = bytes_of<uint16_t>({1, 2, 3});
  EXPECT_THAT(refusal(llmc_start(kGpt2, 7, 3) + ids), HasSubstr("got version 7 of llm.c's magic 20240520; need 1"));
  EXPECT_THAT(refusal(llmc_start(kLlama3, 1, 3) + ids), HasSubstr("need 7"));
  EXPECT_THAT(refusal(llmc_start(kGpt2, 1, 4) + ids),
              HasSubstr("got 6 bytes behind the header; need those of 4 ids of u16, which it says"));
  for (const int32_t wrong : {-3, 2, INT32_MAX})
    EXPECT_THAT(refusal(llmc_start(kGpt2, 1, wrong) + ids), HasSubstr("need those of " + std::to_string(wrong)));
  EXPECT_THAT(refusal(llmc_start(kGpt2, 1, 3) + ids + "x"), HasSubstr("got 7 bytes behind the header"));
  EXPECT_THAT(refusal(llmc_start(20240522, 1, 3) + ids), HasSubstr("multiple-choice questions"));
  const std::string whole = llmc_start(kGpt2, 1, 3) + ids;
  for (const size_t size : {4, 8, 1023})
    EXPECT_THAT(refusal(whole.substr(0, size)), HasSubstr("need the 1024 of llm.c's header"));
  EXPECT_THAT(message_of<ConfigError>([&] { open(whole, TokenType::u32); }), HasSubstr("--dtype: got u32"));
}

TEST_F(LlmcTest, WritesTheVersionOfTheType) {
  const TokenFileKind& kind = open(llmc_start(kGpt2, 1, 0)).kind();
  EXPECT_EQ(kind.header(TokenType::u16, 3, "en"), llmc_start(kGpt2, 1, 3));
  EXPECT_EQ(kind.header(TokenType::u32, INT32_MAX, "en"), llmc_start(kLlama3, 7, INT32_MAX));
  EXPECT_THAT(message_of<DataError>([&] { kind.header(TokenType::u16, INT64_C(1) << 31, "en"); }),
              HasSubstr("en: got 2147483648 tokens for a file of llm.c"));
  EXPECT_THAT(message_of<ConfigError>([&] { kind.header(TokenType::i32, 3, "en"); }), HasSubstr("--dtype: got i32"));
}

}  // namespace
}  // namespace evenkeel::data
