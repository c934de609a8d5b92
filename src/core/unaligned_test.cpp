#include "core/unaligned.h"

#include <gtest/gtest.h>

namespace evenkeel {
namespace {

TEST(LoadUnaligned, ReadsAtAnyAddress) {
  const unsigned char bytes[] = {9, 0x34, 0x12, 0xff, 0xff};
  const auto* first = reinterpret_cast<const std::byte*>(bytes) + 1;
  EXPECT_EQ(load_unaligned<uint16_t>(first), 0x1234);
  EXPECT_EQ(load_unaligned<uint16_t>(first, 1), 0xffff);
  EXPECT_EQ(load_unaligned<int16_t>(first, 1), -1);
}

}  // namespace
}  // namespace evenkeel
