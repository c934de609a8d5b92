#include "data/tokenizers/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/test_support.h"

namespace evenkeel::data {
namespace {

TEST(TokenizerRegistry, EveryContentHasAKind) {
  const auto kind_of = [](std::string_view content) {
    for (const auto& kind : tokenizer_kinds())
      if (kind.is_kind(content)) return std::string(kind.name);
    return std::string();
  };
  EXPECT_EQ(kind_of("\n {\"a\""), "tokenizer_json");
  EXPECT_EQ(kind_of("IQ== 0\nIg== 1\n"), "tiktoken");
  EXPECT_EQ(kind_of(""), "sentencepiece");
  EXPECT_EQ(kind_of("hello text\nof two lines\n"), "sentencepiece");
}

}  // namespace
}  // namespace evenkeel::data
