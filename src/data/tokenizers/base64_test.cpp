#include "data/tokenizers/base64.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

TEST(Base64, IsRead) {
  EXPECT_EQ(from_base64("Zm9vYmFy"), "foobar");
  EXPECT_EQ(from_base64("Zm9vYg=="), "foob");
  EXPECT_EQ(from_base64("Zm9vYmE="), "fooba");
  EXPECT_EQ(from_base64("/+8="), "\xff\xef");
  EXPECT_EQ(from_base64(""), "");
  for (const char* text : {"Zm9", "Zm9!", "====", "Zm=v"}) EXPECT_EQ(from_base64(text), std::nullopt) << text;
}

}  // namespace
}  // namespace evenkeel::data
