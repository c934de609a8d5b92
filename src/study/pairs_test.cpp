#include "study/pairs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/made_arms.h"

namespace evenkeel::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::seeded_arm;
using train::Arm;

std::string replay(const std::string& fraction) {
  return "phase.two.replay={fraction = " + fraction + ", from = \"one\"}";
}
const std::string kSinkhorn = "model.router={kind = \"sinkhorn\"}", kNoLoss = "model.balance={loss = []}";

std::vector<std::string> words(const std::vector<Pair>& pairs) {
  std::vector<std::string> out;
  for (const auto& pair : pairs)
    out.push_back(pair.other + " against " + pair.base + ", " + pair.aspect + ": " + pair.difference);
  return out;
}

// Two routers, each without and with replay, as a matrix makes them.
TEST(Pairs, AMatrixIsComparedAlongEachAxis) {
  const std::vector<Arm> arms = {seeded_arm("p", {}), seeded_arm("p-r", {replay("0.5")}),
                                 seeded_arm("s", {kSinkhorn, kNoLoss}),
                                 seeded_arm("s-r", {kSinkhorn, kNoLoss, replay("0.5")})};
  const std::string routing =
      "router sinkhorn in place of top_k; balance loss none in place of switch 0.01; z-loss none in place of 0.001";
  const auto found = words(pairs_of(arms));
  ASSERT_EQ(found.size(), 4U);
  EXPECT_THAT(found[0], HasSubstr("p-r against p, replay: "));
  EXPECT_EQ(found[1], "s against p, routing: " + routing);
  EXPECT_THAT(found[2], HasSubstr("s-r against s, replay: "));
  EXPECT_EQ(found[3], "s-r against p-r, routing: " + routing);
}

// An arm that an earlier version trained lacks the keys that came since.
TEST(Pairs, ArmsOfAnEarlierVersionAreStillPaired) {
  std::vector<Arm> arms = {seeded_arm("p", {}), seeded_arm("p-r", {replay("0.5")})};
  const auto wanted = words(pairs_of(arms));
  ASSERT_EQ(wanted.size(), 1U);
  arms[0].resolved["model"]["router"].erase("renormalize_one");
  EXPECT_EQ(words(pairs_of(arms)), wanted);
}

TEST(Pairs, RunsOfOneSeedArePaired) {
  const std::vector<Arm> arms = {seeded_arm("p", {}, 1), seeded_arm("p", {}, 2), seeded_arm("s", {kSinkhorn}, 2),
                                 seeded_arm("s", {kSinkhorn}, 3)};
  const auto pairs = pairs_of(arms);
  ASSERT_EQ(pairs.size(), 1U);
  ASSERT_EQ(pairs[0].runs.size(), 1U);
  EXPECT_EQ(pairs[0].runs[0].first->name, "p-seed2");
  EXPECT_EQ(pairs[0].runs[0].second->name, "s-seed2");
  EXPECT_THAT(pairs_of({seeded_arm("p", {}, 1), seeded_arm("s", {kSinkhorn}, 2)}), IsEmpty());  // no seed in common
}

TEST(Pairs, OfTwoGroupsInEitherOrder) {
  const std::vector<Arm> arms = {seeded_arm("p", {}), seeded_arm("s", {kSinkhorn}),
                                 seeded_arm("large", {kSinkhorn, "model.d_expert=7"}), seeded_arm("p2", {}, 2)};
  const auto found = [&](const std::string& base, const std::string& other) {
    const auto pair = pair_of(arms, base, other);
    return pair ? words({*pair}).at(0) : "none";
  };
  EXPECT_EQ(found("p", "s"), "s against p, routing: router sinkhorn in place of top_k");
  EXPECT_EQ(found("s", "p"), "p against s, routing: router top_k in place of sinkhorn");
  EXPECT_EQ(found("p", "large"), "none");  // in two aspects
  EXPECT_EQ(found("s", "p2"), "none");     // of another seed
  EXPECT_EQ(found("p", "gone"), "none");
}

TEST(Pairs, ReplayIsAgainstNoneWhereverItStands) {
  const auto found = words(pairs_of({seeded_arm("r2", {replay("0.2")}), seeded_arm("r4", {replay("0.4")}),
                                     seeded_arm("none", {}), seeded_arm("control", {replay("1.0")})}));
  ASSERT_EQ(found.size(), 2U);  // nothing shifts in the control
  EXPECT_THAT(found[0], HasSubstr("r2 against none, replay: "));
  EXPECT_THAT(found[1], HasSubstr("r4 against none, replay: "));
  EXPECT_THAT(words(pairs_of({seeded_arm("r2", {replay("0.2")}), seeded_arm("r4", {replay("0.4")})})),
              ElementsAre("r4 against r2, replay: phase.two.replay.fraction 0.4 in place of 0.2"));
}

TEST(Pairs, OtherKeysAreNamedWithTheirValues) {
  const auto difference = [](const std::string& override) {
    const auto pairs = pairs_of({seeded_arm("a", {}), seeded_arm("b", {override})});
    return pairs.empty() ? "" : pairs[0].difference;
  };
  EXPECT_EQ(difference("model.router.renormalize=true"), "model.router.renormalize true in place of false");
  EXPECT_EQ(difference("model.balance.coefficient=0.5"), "balance loss switch 0.5 in place of switch 0.01");
  EXPECT_THAT(difference("model.balance.reduce=mean"),
              HasSubstr("reduce \"mean\" in place of \"sum\""));  // the words leave it out
  EXPECT_EQ(difference("model.capacity={rule = \"switch\"}"), "capacity switch in place of none");
  EXPECT_EQ(difference("optimizer.eps=1e-6"), "optimizer.eps 1e-06 in place of 1e-08");
  EXPECT_EQ(difference("model.d_expert=7"), "model.d_expert 7 in place of 6");
  EXPECT_EQ(difference("phase.two.steps=5"), "phase.two.steps 5 in place of 4; phase.two.tokens 160 in place of 128");
}

TEST(Pairs, WhatDiffersInMoreThanOneThingIsNoPairAndSaidSo) {
  const std::vector<Arm> arms = {seeded_arm("dense", testing::kTinyDense), seeded_arm("moe", {}),
                                 seeded_arm("wide", {"model.d_expert=60", kSinkhorn, replay("0.5")})};
  const auto pairs = pairs_of(arms);
  EXPECT_THAT(pairs, IsEmpty());
  EXPECT_THAT(unpaired_notes(arms, pairs),
              ElementsAre("moe differs from wide, the arm nearest to it, in replay, routing and model.d_expert at "
                          "once: no difference between the two has one cause."));
  const std::vector<Arm> paired = {seeded_arm("moe", {}), seeded_arm("s", {kSinkhorn})};
  EXPECT_THAT(unpaired_notes(paired, pairs_of(paired)), IsEmpty());
  EXPECT_THAT(unpaired_notes({seeded_arm("alone", {})}, {}), IsEmpty());
}

}  // namespace
}  // namespace evenkeel::study
