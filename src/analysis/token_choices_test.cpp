#include "analysis/token_choices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"
#include "support/observations.h"

namespace evenkeel::analysis {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using testing::routing_of;

TEST(TokenChoices, GivesEachTokenItsExpertsBestFirst) {
  const auto decision = routing_of({{2, 0}, {1, 3}}, 4, 2);
  const TokenChoices choices(decision, 2, 4);
  EXPECT_EQ(choices.n_tokens(), 2);
  EXPECT_THAT(choices.of(0), ElementsAre(2, 0));
  EXPECT_THAT(choices.of(1), ElementsAre(1, 3));
  EXPECT_EQ(choices.begin(1), 2);
}

TEST(TokenChoices, TakesAnyNumberOfExpertsAToken) {
  const auto decision = routing_of({{}, {1, 3, 0}, {}, {2}, {}}, 4, 2);
  const TokenChoices choices(decision, 5, 4);
  EXPECT_TRUE(choices.of(0).empty());
  EXPECT_THAT(choices.of(1), ElementsAre(1, 3, 0));
  EXPECT_TRUE(choices.of(2).empty());
  EXPECT_THAT(choices.of(3), ElementsAre(2));
  EXPECT_EQ(choices.begin(5), 4);
}

TEST(TokenChoices, RefusesWhatAForeignFileCouldHaveWrong) {
  const auto refuse = [](moe::RoutingDecision decision) {
    return message_of<DataError>([&] { const TokenChoices choices(decision, 2, 4); });
  };
  auto decision = routing_of({{2, 0}, {1, 3}}, 4, 2, 7);
  decision.expert_ids[3] = 4;
  EXPECT_THAT(refuse(decision), HasSubstr("routing of layer 7, token 1: got expert 4; need 0..3"));
  decision.expert_ids[3] = -1;
  EXPECT_THAT(refuse(decision), HasSubstr("got expert -1"));
  decision.expert_ids[3] = 1;
  EXPECT_THAT(refuse(decision), HasSubstr("got expert 1 twice"));
  decision.expert_ids[3] = 3;
  decision.token_ids[3] = 0;  // out of order
  EXPECT_THAT(refuse(decision), HasSubstr("got token 0 at assignment 3; need tokens in ascending order"));
  decision.token_ids[3] = 2;
  EXPECT_THAT(refuse(decision), HasSubstr("got token 2 at assignment 3"));
  decision.token_ids[3] = 1;
  decision.n_experts = 5;
  EXPECT_THAT(refuse(decision), HasSubstr("got 2 tokens and 5 experts; need 2 and 4"));
}

}  // namespace
}  // namespace evenkeel::analysis
