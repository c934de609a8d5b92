#include "data/tokenizers/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

TEST(Pattern, Replaces) {
  RegexWorkspace workspace;
  bool takes_start = false;
  EXPECT_EQ(replaced(read_pattern(Json::parse(R"({"Regex": "a+"})", "t")), "ab aa", "x", workspace, takes_start),
            "xb x");
  EXPECT_FALSE(takes_start);
  EXPECT_EQ(replaced(read_pattern(Json("b")), "ba", "", workspace, takes_start), "a");
  EXPECT_TRUE(takes_start);
  EXPECT_THAT(message_of<DataError>([] { read_pattern(Json::object()); }),
              testing::HasSubstr("got a pattern of another kind"));
  EXPECT_THAT(message_of<DataError>([] { bool_or(Json::parse(R"({"a": 1})", "t"), "a", true); }),
              testing::HasSubstr("need boolean"));
  EXPECT_TRUE(bool_or(Json::object(), "a", true));
}

}  // namespace
}  // namespace evenkeel::data
