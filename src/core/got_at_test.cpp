#include "core/got_at.h"

#include <gtest/gtest.h>

namespace evenkeel {
namespace {

TEST(GotAt, SaysThePathOnce) {
  EXPECT_EQ(got_at("r.toml:2:1", "a.b"), "r.toml:2:1: got a.b = ");
  EXPECT_EQ(got_at("--set a.b", "a.b"), "--set a.b: got ");
  EXPECT_EQ(got_at("--set x.a.b", "a.b"), "--set x.a.b: got a.b = ");
  EXPECT_EQ(got_at("--set a", "a.b"), "--set a: got a.b = ");
}

}  // namespace
}  // namespace evenkeel
