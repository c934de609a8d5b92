#include "data/tokenizers/token_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

TEST(TokenText, ShowsBytesAndSpaces) {
  EXPECT_EQ(shown_bytes(" \u00e9\xE2\x96"
                        "a"),
            " \u00e9<0xE2><0x96>a");
  EXPECT_EQ(with_spaces("\u2581a\u2581"), " a ");
}

}  // namespace
}  // namespace evenkeel::data
