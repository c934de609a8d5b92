#include "core/hex.h"

#include <gtest/gtest.h>

namespace evenkeel {
namespace {

TEST(HexText, HasTwoDigitsAByte) {
  EXPECT_EQ(hex_text(""), "");
  EXPECT_EQ(hex_text(std::string_view("\x00\x0f\x7f\x80\xff", 5)), "000f7f80ff");
}

}  // namespace
}  // namespace evenkeel
