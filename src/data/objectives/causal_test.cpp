#include <gtest/gtest.h>

#include "data/objectives/objective.h"

namespace evenkeel::data {
namespace {

TEST(Causal, ScoresEachTokenByTheNext) {
  const auto objective = make_objective({}, {.sequence_length = 3});
  EXPECT_EQ(objective->text_tokens({}), 3);
  EXPECT_FALSE(objective->needs_masks());
  EXPECT_FALSE(objective->packs());
  const auto example =
      objective->example({}, {.tokens = {11, 20, 21}, .following = {20, 21, 30}, .documents = {0, 1, 1}});
  EXPECT_EQ(example.tokens, (std::vector<int64_t>{11, 20, 21}));
  EXPECT_EQ(example.targets, (std::vector<int64_t>{20, 21, 30}));
  EXPECT_EQ(example.document_ids, (std::vector<int32_t>{0, 1, 1}));
  EXPECT_TRUE(example.is_prefix.empty());
  EXPECT_TRUE(objective->example({}, {.tokens = {1, 2, 3}, .following = {2, 3, 4}}).document_ids.empty());
}

// Nothing in it is random, and text of another length, such as the last of a held-out set, is as long as it is.
TEST(Causal, IsOfItsTextAlone) {
  const auto objective = make_objective({}, {.sequence_length = 8});
  const Text text{.tokens = {4, 5}, .following = {5, 6}};
  for (const auto& id : {ExampleId{}, ExampleId{.seed = 7, .number = 3, .epoch = 2}}) {
    EXPECT_EQ(objective->text_tokens(id), 8);
    EXPECT_EQ(objective->example(id, text).targets, (std::vector<int64_t>{5, 6}));
  }
}

}  // namespace
}  // namespace evenkeel::data
