#include "core/errors.h"
#include "data/test_support.h"
#include "data/tokenizers/registry.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

// Base64 of two bytes.
std::string base64(unsigned char first, unsigned char second) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return {kDigits[first >> 2], kDigits[(first & 3) << 4 | second >> 4], kDigits[(second & 15) << 2], '='};
}
std::string base64(unsigned char byte) {
  const std::string two = base64(byte, 0);
  return two.substr(0, 2) + "==";
}

// As many ranks as r50k_base: the bytes, then pairs of bytes.
std::string ranks() {
  std::string out;
  int n = 0;
  for (int byte = 0; byte < 256; ++byte)
    out += base64(static_cast<unsigned char>(byte)) + " " + std::to_string(n++) + "\n";
  for (int pair = 0; n < 50256; ++pair)
    out += base64(static_cast<unsigned char>(pair >> 8), static_cast<unsigned char>(pair)) + " " + std::to_string(n++) +
           "\n";
  return out;
}

TEST(Tiktoken, EncodesByRanks) {
  const TemporaryFolder folder;
  const auto tokenizer = open_tokenizer(folder.write("r50k.tiktoken", ranks()));
  EXPECT_EQ(tokenizer->kind(), "ranks of tiktoken (r50k_base)");
  EXPECT_EQ(tokenizer->vocab_size(), 50257);
  EXPECT_EQ(tokenizer->begin_of_document(), std::nullopt);
  EXPECT_EQ(tokenizer->end_of_document(), 50256);
  EXPECT_EQ(tokenizer->id_of("<|endoftext|>"), 50256);
  const auto pair = [](unsigned char a, unsigned char b) { return 256 + a * 256 + b; };
  EXPECT_EQ(tokenizer->encode("abc", true), (std::vector<int32_t>{pair('a', 'b'), 'c'}));
  EXPECT_EQ(tokenizer->encode("ba<|endoftext|>", true), (std::vector<int32_t>{pair('b', 'a'), 50256}));
  EXPECT_EQ(tokenizer->encode("cab", true),
            (std::vector<int32_t>{'c', pair('a', 'b')}));  // the lower rank, not the left
  EXPECT_EQ(tokenizer->decode({pair('a', 'b'), 0xC3, 50256}), "ab\ufffd");
  EXPECT_EQ(tokenizer->piece(0xC3), "<0xC3>");
  EXPECT_EQ(tokenizer->piece(50256), "<|endoftext|>");
  EXPECT_THROW(tokenizer->piece(50257), DataError);
}

TEST(Tiktoken, RefusesDamagedFiles) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& content) {
    return message_of<DataError>([&] { open_tokenizer(folder.write("t.tiktoken", content)); });
  };
  EXPECT_THAT(refused("YQ== 0\nYg= 1\n"),
              HasSubstr("t.tiktoken:2: got \"Yg= 1\"; need a token of at most 1024 bytes in base64"));
  EXPECT_THAT(refused("YQ== 0\nYg== 2\n"), HasSubstr("t.tiktoken:2: got rank 2; need 1"));
  EXPECT_THAT(refused("YQ== 0\n"),
              HasSubstr("got 1 ranks, which is no encoding that evenkeel knows; need one of: r50k_base (50256)"));
}

}  // namespace
}  // namespace evenkeel::data
