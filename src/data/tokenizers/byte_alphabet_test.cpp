#include "data/tokenizers/byte_alphabet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

TEST(ByteAlphabet, IsGpt2s) {
  EXPECT_EQ(in_byte_alphabet("a \n\u00e9\xad"), "a\u0120\u010a\u00c3\u00a9\u0143");
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(from_byte_alphabet(in_byte_alphabet(all)), all);
  EXPECT_EQ(from_byte_alphabet("a b"), std::nullopt);
  EXPECT_EQ(from_byte_alphabet("\u4e00"), std::nullopt);
}

}  // namespace
}  // namespace evenkeel::data
