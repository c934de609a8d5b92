#include "study/pair_headlines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/made_arms.h"

namespace evenkeel::study {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::seeded_arm;
using train::Arm;

// A router against another in two seeds; phase one learns "a", phase two "b".
class PairHeadline : public ::testing::Test {
 protected:
  PairHeadline() {
    for (const int64_t seed : {1, 2}) {
      arms_.push_back(seeded_arm("p", {}, seed));
      arms_.push_back(seeded_arm("s", {"model.router={kind = \"sinkhorn\"}"}, seed));
    }
    for (const auto& arm : arms_)
      outcomes_[arm.name] =
          Outcome{.seed = arm.resolved.at("train").at("seed").as_int(), .against = "one", .target_data = "a"};
  }
  void set(std::optional<train::LossFigure> Outcome::*figure, double p1, double s1, double p2, double s2) {
    const auto value = [](double loss) {
      return std::isnan(loss) ? std::nullopt : std::optional(train::LossFigure{loss, std::nullopt, std::nullopt});
    };
    outcomes_["p-seed1"].*figure = value(p1);
    outcomes_["s-seed1"].*figure = value(s1);
    outcomes_["p-seed2"].*figure = value(p2);
    outcomes_["s-seed2"].*figure = value(s2);
  }
  void set(double Outcome::*figure, double p1, double s1, double p2, double s2) {
    outcomes_["p-seed1"].*figure = p1;
    outcomes_["s-seed1"].*figure = s1;
    outcomes_["p-seed2"].*figure = p2;
    outcomes_["s-seed2"].*figure = s2;
  }
  std::string sentence() const { return pair_headline(pairs_of(arms_).at(0), outcomes_); }
  std::vector<Arm> arms_;
  std::map<std::string, Outcome> outcomes_;
};

TEST_F(PairHeadline, ComparesLossesTokensTasksAndBalance) {
  EXPECT_EQ(sentence(), "");  // no figures
  set(&Outcome::forgetting, 0.5, 0.25, 0.75, 0.5);
  set(&Outcome::loss_new, 2.0, 2.25, 2.5, 2.25);
  set(&Outcome::tokens_to_loss, 2000, 1000, 3000, 2000);
  set(&Outcome::target_loss, 3.5, 3.5, 3.5, 3.5);
  set(&Outcome::eval_mri, 0.5, 0.75, 0.5, 0.75);
  set(&Outcome::even_load, 0.25, 0.25, 0.25, 0.25);
  set(&Outcome::experts_in_use, 8, 7, 8, 8);
  set(&Outcome::experts, 8, 8, 8, 8);
  for (auto& [name, outcome] : outcomes_) outcome.accuracy["quiz"] = name[0] == 'p' ? 0.5 : 0.25;
  EXPECT_EQ(
      sentence(),
      "s against p (router sinkhorn in place of top_k): forgetting on a since the end of phase one is +0.38 ± 0.18 "
      "nats instead of +0.62 ± 0.18 "
      "(−0.250 in each of 2 pairs); "
      "the loss on b is 2.25 instead of 2.25 ± 0.35 (no difference beyond noise: 0.0; 95 %: −3.2 to +3.2); "
      "accuracy on quiz is 0.250 instead of 0.500 (−0.250 in each of 2 pairs); a loss of 3.50 on a takes 1.5 ± 0.7 "
      "instead of 2.5 ± 0.7 thousand tokens (−1.00 in each of 2 pairs); "
      "the busiest expert gets 75.0 % of held-out b instead of 50.0 % (+25.0 in each of 2 pairs); an even load is 25.0 "
      "%; 7.5 of 8 experts are in use instead of 8 of 8 (no difference beyond noise: 0; 95 %: −7 to +6).");
}

// Differences of 1,000 and 1,200 tokens: 1,100 with a standard error of 100, of one degree 12.7 times that.
TEST_F(PairHeadline, TokensToALossHaveTheirErrorsAndAnInterval) {
  set(&Outcome::loss_new, 2.0, 2.25, 2.5, 2.25);
  set(&Outcome::tokens_to_loss, 2000, 1000, 2200, 1000);
  set(&Outcome::target_loss, 3.5, 3.5, 3.5, 3.5);
  EXPECT_THAT(sentence(), HasSubstr("a loss of 3.50 on a takes 1.00 instead of 2.10 ± 0.14 thousand tokens (no "
                                    "difference beyond noise: −1.1; 95 %: −2.4 to +0.2)."));
}

// The loss is known at evaluations alone: who met it a thousand tokens earlier may have been as fast.
TEST_F(PairHeadline, TokensWithinOneEvaluationIntervalAreNoDifference) {
  set(&Outcome::loss_new, 2.0, 2.25, 2.5, 2.25);
  set(&Outcome::tokens_to_loss, 3000, 2000, 4000, 3000);
  set(&Outcome::target_loss, 3.5, 3.5, 3.5, 3.5);
  set(&Outcome::tokens_interval, 1000, 1000, 1000, 1000);
  for (auto& [name, outcome] : outcomes_) outcome.target_of = "p at the end of phase one";
  EXPECT_THAT(sentence(),
              HasSubstr("a loss of 3.50 on a (that of p at the end of phase one) takes 2.5 ± 0.7 instead of "
                        "3.5 ± 0.7 thousand tokens (no difference: within one evaluation interval of 1 "
                        "thousand tokens)."));
  set(&Outcome::tokens_interval, 999, 500, 500, 500);
  EXPECT_THAT(sentence(), HasSubstr("thousand tokens (−1.00 in each of 2 pairs)."));
}

// A mean over other seeds would compare seeds: only runs of one seed that both have the figure count.
TEST_F(PairHeadline, ASeedWithoutAFigureIsLeftOutOnBothSides) {
  set(&Outcome::loss_new, 2.0, NAN, 2.5, 2.25);
  EXPECT_EQ(sentence(),
            "s against p (router sinkhorn in place of top_k): the loss on b is 2.25 instead of 2.50 (−0.250; its error "
            "is not known).");
  set(&Outcome::tokens_to_loss, 2000, NAN, 3000, 2000);
  set(&Outcome::target_loss, 3.5, 3.5, 3.5, 3.5);
  EXPECT_THAT(sentence(), HasSubstr("a loss of 3.50 on a takes 2.00 instead of 3.00 thousand tokens (in 1 of 2 seeds; "
                                    "s does not reach it in 1 of 2 seeds) (−1.00; its error is not known)"));
}

// The base ended its own first phase with the loss: so it is there at that end, whatever the other side does.
TEST_F(PairHeadline, ATargetThatIsTheBasesOwnIsLeftOutWhereItTellsNothing) {
  set(&Outcome::loss_new, 2.0, 2.25, 2.5, 2.25);
  set(&Outcome::tokens_to_loss, 4000, 4000, 4000, NAN);
  set(&Outcome::target_loss, 3.5, 3.5, 3.5, 3.5);
  set(&Outcome::tokens_interval, 1000, 1000, 1000, 1000);
  EXPECT_THAT(sentence(), HasSubstr("a loss of 3.50"));
  for (auto& [name, outcome] : outcomes_) outcome.target_group = "p";
  for (const char* base : {"p-seed1", "p-seed2"}) outcomes_[base].is_own_target = true;
  EXPECT_THAT(sentence(), Not(HasSubstr("a loss of 3.50")));
  set(&Outcome::tokens_to_loss, 4000, 1500, 4000, 1500);  // more than an interval earlier
  EXPECT_THAT(sentence(), HasSubstr("a loss of 3.50 on a takes 1.50 instead of 4.00 thousand tokens"));
  for (auto& [name, outcome] : outcomes_) outcome.target_group = "first";  // whose phase p shares
  EXPECT_THAT(sentence(), Not(HasSubstr("a loss of 3.50")));
}

// A side that never gets there is no reason for silence.
TEST_F(PairHeadline, ALossOutOfReachIsSaid) {
  set(&Outcome::loss_new, 2.0, 2.0, 2.5, 2.25);
  set(&Outcome::target_loss, 3.5, 3.5, 3.5, 3.5);
  set(&Outcome::tokens_to_loss, 2000, NAN, 3000, NAN);
  EXPECT_THAT(sentence(), HasSubstr("; a loss of 3.50 on a: s does not reach it in 2 of 2 seeds."));
  set(&Outcome::tokens_to_loss, NAN, 2000, 3000, NAN);
  EXPECT_THAT(sentence(),
              HasSubstr("; a loss of 3.50 on a: s does not reach it in 1 of 2 seeds, p does not reach it in "
                        "1 of 2 seeds."));
  arms_.resize(2);
  EXPECT_THAT(sentence(), HasSubstr("; a loss of 3.50 on a: p does not reach it."));
}

TEST_F(PairHeadline, ACollapseIsSaid) {
  set(&Outcome::loss_new, 2.0, 1.0, 2.0, 1.0);
  outcomes_["s-seed2"].collapsed_on = {"held-out b"};
  EXPECT_EQ(sentence(),
            "s against p (router sinkhorn in place of top_k): the loss on b is 1.00 instead of 2.00 (−1.00 in each of "
            "2 pairs). The router of s has collapsed on held-out b, in 1 of 2 seeds.");
}

TEST_F(PairHeadline, EvenLoadsThatDifferAreBothSaid) {
  set(&Outcome::loss_new, 2.0, 1.0, 2.0, 1.0);
  set(&Outcome::eval_mri, 0.5, 0.75, 0.5, 0.75);
  set(&Outcome::even_load, 0.5, 0.25, 0.5, 0.25);
  EXPECT_THAT(
      sentence(),
      HasSubstr(
          "75.0 % of held-out b instead of 50.0 % (+25.0 in each of 2 pairs); even loads are 25.0 % and 50.0 %."));
}

TEST_F(PairHeadline, ImbalanceIsThatOfTheNewSetAndOfTheOldOne) {
  set(&Outcome::loss_new, 2.0, 1.0, 2.0, 1.0);
  set(&Outcome::eval_mri, 0.5, 0.75, 0.5, 0.75);
  set(&Outcome::eval_mri_old, 0.25, 0.375, 0.375, 0.25);
  set(&Outcome::even_load, 0.25, 0.25, 0.25, 0.25);
  EXPECT_THAT(sentence(), HasSubstr("the busiest expert gets 75.0 % of held-out b instead of 50.0 % (+25.0 in each of "
                                    "2 pairs) and 31 ± 9 % of held-out a instead of 31 ± 9 % (no difference beyond "
                                    "noise: 0; 95 %: −100 to +100); an even load is 25.0 %."));
}

TEST_F(PairHeadline, OtherDataDoNotCompare) {
  const std::vector<Arm> arms = {seeded_arm("b", {}, 1),
                                 seeded_arm("c", {"phase.two.data=[{name = \"c\", path = \"/data/c\"}]"}, 1)};
  for (const auto& arm : arms) outcomes_[arm.name] = Outcome{.loss_new = train::LossFigure{2.0, {}, {}}};
  ASSERT_EQ(pairs_of(arms).size(), 1U);
  EXPECT_EQ(pairs_of(arms)[0].aspect, "data");
  EXPECT_EQ(pair_headline(pairs_of(arms)[0], outcomes_), "");
}

TEST_F(PairHeadline, ReplayHasItsOwnWords) {
  const auto replay = [](const std::string& fraction) {
    return "phase.two.replay={fraction = " + fraction + ", from = \"one\"}";
  };
  const auto compare = [&](const std::vector<Arm>& arms) {
    outcomes_.clear();
    for (const auto& arm : arms)
      outcomes_[arm.name] = Outcome{.forgetting = train::LossFigure{arm.group == "more" ? 0.1 : 0.4, {}, {}},
                                    .loss_new = train::LossFigure{2.0, {}, {}},
                                    .against = "one"};
    return pair_headline(pairs_of(arms).at(0), outcomes_);
  };
  EXPECT_EQ(
      compare({seeded_arm("none", {}, 1), seeded_arm("more", {replay("0.25")}, 1)}),
      "more: with 25 % of the sequences replayed, forgetting on a since the end of phase one is +0.100 nats instead "
      "of +0.400 (−0.300; its "
      "error is not known); the loss on b is 2.00 instead of 2.00 (0; its error is not known).");
  EXPECT_THAT(compare({seeded_arm("none", {}, 1), seeded_arm("more", {replay("0.005")}, 1)}),
              HasSubstr("more: with 0.5 % of the sequences replayed, "));
  EXPECT_EQ(
      compare({seeded_arm("some", {replay("0.1")}, 1), seeded_arm("more", {replay("0.25")}, 1)}),
      "more against some (phase.two.replay.fraction 0.25 in place of 0.1): forgetting on a since the end of phase one "
      "is +0.100 nats instead of "
      "+0.400 (−0.300; its error is not known); the loss on b is 2.00 instead of 2.00 (0; its error is not known).");
}

}  // namespace
}  // namespace evenkeel::study
