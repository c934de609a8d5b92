#include "data/tokenizers/split_behavior.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"
#include "data/tokenizers/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// "the-final--countdown" at each '-', the example of the library's documentation.
std::vector<std::string> parts(SplitBehavior behavior) {
  const std::string text = "the-final--countdown";
  Pieces out;
  SplitParts split(behavior, {text, true}, out);
  for (const auto& [begin, end, is_delimiter] : std::vector<std::tuple<size_t, size_t, bool>>{
           {0, 3, false}, {3, 4, true}, {4, 9, false}, {9, 10, true}, {10, 11, true}, {11, 20, false}})
    split.add({begin, end}, is_delimiter);
  split.finish();
  return out.all;
}

TEST(SplitBehavior, IsThatOfTheLibrary) {
  EXPECT_THAT(parts(SplitBehavior::removed), ElementsAre("the", "final", "countdown"));
  EXPECT_THAT(parts(SplitBehavior::isolated), ElementsAre("the", "-", "final", "-", "-", "countdown"));
  EXPECT_THAT(parts(SplitBehavior::merged_with_previous), ElementsAre("the-", "final-", "-", "countdown"));
  EXPECT_THAT(parts(SplitBehavior::merged_with_next), ElementsAre("the", "-final", "-", "-countdown"));
  EXPECT_THAT(parts(SplitBehavior::contiguous), ElementsAre("the", "-", "final", "--", "countdown"));
}

TEST(SplitBehavior, IsReadByName) {
  EXPECT_EQ(read_split_behavior(Json("MergedWithNext")), SplitBehavior::merged_with_next);
  EXPECT_THAT(message_of<DataError>([] { read_split_behavior(Json("Torn")); }),
              HasSubstr("got \"Torn\", which evenkeel lacks; need one of: Removed"));
}

}  // namespace
}  // namespace evenkeel::data
