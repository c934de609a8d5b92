#include "data/tokenizers/tiktoken_encodings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

TEST(TiktokenEncodings, AreToldByTheNumberOfRanks) {
  EXPECT_STREQ(tiktoken_encoding(100256)->name, "cl100k_base");
  EXPECT_EQ(tiktoken_encoding(7), nullptr);
  const auto tokens = special_tokens(*tiktoken_encoding(128000));
  EXPECT_EQ(tokens.size(), 256U);
  EXPECT_EQ(tokens.back().content, "<|reserved_special_token_250|>");
  EXPECT_EQ(tokens.back().id, 128255);
  EXPECT_THAT(known_tiktoken_encodings(), testing::HasSubstr("o200k_base (199998)"));
}

}  // namespace
}  // namespace evenkeel::data
