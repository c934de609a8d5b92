#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "study/comparison.h"
#include "study/tables.h"
#include "support/made_arms.h"
#include "support/made_lines.h"

namespace evenkeel::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::made_arm;
using train::Arm;

const std::string kReplay = "phase.two.replay={fraction = 0.25, from = \"one\"}";

// Phase one learns "a", phase two "b". Arms: dense, moe with two seeds, without and with replay.
class HeadlinesTest : public ::testing::Test {
 protected:
  HeadlinesTest() : tables_(train::new_tables()) {
    arms_ = {made_arm("dense", "dense", testing::kTinyDense), made_arm("moe-seed1", "moe", {}),
             made_arm("moe-seed2", "moe", {"train.seed=2"}), made_arm("moe-r25-seed1", "moe-r25", {kReplay}),
             made_arm("moe-r25-seed2", "moe-r25", {kReplay, "train.seed=2"})};
  }
  void forgetting(const std::string& arm, double change, double new_loss, const Json& se = Json()) {
    auto& table = train::find_table(tables_, "forgetting");
    table.add_row({arm, "one", "a", 9.0, 9.0, Json(), se, Json(), Json(), Json(), Json()});  // not of the last phase
    table.add_row({arm, "two", "a", 3.0, 9.0, 9.0, se, se, change, se, "one"});
    table.add_row({arm, "two", "b", new_loss, 9.0, Json(), se, Json(), Json(), Json(), Json()});
  }
  void shift(const std::string& arm, double before, double first, double peak, double after) {
    auto& table = train::find_table(tables_, "shift_mri");
    table.add_row({arm, "two", Json(), 0.25, before, first, peak, 3, Json(), after});
    table.add_row({arm, "two", 0, 0.25, 9.0, 9.0, 9.0, 3, Json(), 9.0});  // a layer: only the mean counts
  }
  std::vector<Arm> arms_;
  train::NamedTables tables_;
};

TEST_F(HeadlinesTest, CompareForgettingReplayAndBalance) {
  forgetting("dense", 0.50, 2.0);
  forgetting("moe-seed1", 0.30, 2.0);
  forgetting("moe-seed2", 0.50, 2.2);
  forgetting("moe-r25-seed1", 0.10, 2.5);
  forgetting("moe-r25-seed2", 0.10, 2.5);
  shift("moe-seed1", 0.4, 0.8, 1.2, 0.4);
  shift("moe-seed2", 0.4, 0.4, 0.4, 0.6);
  shift("moe-r25-seed1", 0.4, 0.5, 0.6, 0.4);
  EXPECT_THAT(
      study_headlines(arms_, tables_),
      ElementsAre(
          "Without replay there is no difference beyond noise in forgetting between the MoE model and the dense one of "
          "the same FLOPs: +0.40 ± 0.14 nats a token on a since the end of phase one against +0.500.",
          "moe-r25: with 25 % of the sequences replayed, forgetting on a since the end of phase one is +0.100 nats "
          "instead of +0.40 ± 0.14 (no "
          "difference beyond noise: −0.3; 95 %: −1.6 to +1.0); "
          "the loss on b is 2.50 instead of 2.10 ± 0.14 (no difference beyond noise: +0.4; 95 %: −0.9 to +1.7).",
          "moe: at the shift MRI, the busiest expert's share of a training batch, goes from 40 % to 60 ± 28 %, "
          "peaks at 80 ± 60 % (the mean of the seeds' peaks) in the first 4 steps, and ends at 50 ± 14 %; an even load "
          "is 50.0 %."));
}

const char* const kOneSeed =
    "Every arm has one seed: errors and intervals are those of the held-out text, and another seed may differ by more.";

// Two seeds that agree to 0.01 tell 0.3 apart: paired differences -0.300 and -0.308 have an interval of 12.706 * 0.004
// to each side.
TEST_F(HeadlinesTest, ADifferenceThatSeedsAgreeOnHasItsInterval) {
  forgetting("moe-seed1", 0.40, 2.0);
  forgetting("moe-seed2", 0.42, 2.0);
  forgetting("moe-r25-seed1", 0.10, 2.0);
  forgetting("moe-r25-seed2", 0.112, 2.0);
  EXPECT_THAT(study_headlines(arms_, tables_),
              ElementsAre("moe-r25: with 25 % of the sequences replayed, forgetting on a since the end of phase one is "
                          "+0.106 ± 0.008 nats instead "
                          "of +0.410 ± 0.014 (−0.30; 95 %: −0.35 to −0.25); "
                          "the loss on b is 2.00 instead of 2.00 (no difference in any of 2 pairs)."));
}

// Standard errors of 0.01 on both sides give a difference an interval of 1.96 * 0.0141, and of two differences at
// once 2.24 * 0.0141.
TEST_F(HeadlinesTest, TheVerdictFollowsTheFigures) {
  arms_ = {made_arm("dense", "dense", testing::kTinyDense), made_arm("moe", "moe", {})};
  forgetting("dense", 0.20, 2.0, 0.01);
  forgetting("moe", 0.30, 2.0, 0.01);
  EXPECT_THAT(study_headlines(arms_, tables_),
              ElementsAre("Without replay the MoE model forgets more than the dense one of the same FLOPs: +0.300 ± "
                          "0.010 nats a token on a since the end of phase one against +0.200 ± 0.010.",
                          kOneSeed));
  arms_.push_back(made_arm("other", "other", {}));
  forgetting("other", 0.17, 2.0, 0.01);  // 0.030: beyond the interval of one difference, within that of two
  EXPECT_THAT(study_headlines(arms_, tables_).at(0),
              HasSubstr("1 of 2 MoE models forget more and 0 less, beyond noise, than the dense one of the same FLOPs: "
                        "+0.170 ± 0.010 to +0.300 ± 0.010"));
  arms_[2] = made_arm("third", "third", {});
  forgetting("third", 0.10, 2.0, 0.01);
  arms_.erase(arms_.begin() + 1);
  auto& rows = train::find_table(tables_, "forgetting").rows;
  std::erase_if(rows, [](const auto& row) { return row[0].as_string() == "moe" || row[0].as_string() == "other"; });
  EXPECT_THAT(study_headlines(arms_, tables_).at(0), HasSubstr("the MoE model forgets less than the dense one"));
}

TEST_F(HeadlinesTest, LossesThatFallAreComparedTheSameWay) {
  forgetting("dense", -0.100, 2.0, 0.002);
  forgetting("moe-seed1", -0.099, 2.0, 0.002);
  EXPECT_THAT(study_headlines(arms_, tables_).at(0),
              HasSubstr("no difference beyond noise in forgetting between the MoE model and the dense one"));
}

// Evaluations of before there were errors.
TEST_F(HeadlinesTest, WithoutErrorsThereIsNoVerdict) {
  forgetting("dense", 0.20, 2.0);
  forgetting("moe-seed1", 0.30, 2.0);
  EXPECT_THAT(study_headlines(arms_, tables_).at(0),
              HasSubstr("the MoE model forgets, with errors that are not known, beside the dense one of the same "
                        "FLOPs: +0.300 nats a token on a since the end of phase one against +0.200."));
}

// What the windows have in common cancels: their losses differ by 2, the changes of the two arms by 0.1 in each.
TEST_F(HeadlinesTest, OneSeedIsPairedByTheWindowsOfTheText) {
  arms_ = {made_arm("dense", "dense", testing::kTinyDense), made_arm("moe", "moe", {})};
  const auto result = [](double a, double b, double c) {
    auto out = testing::made_result((a + b + c) / 3);
    out.loss_se = 0.6;
    out.loss_blocks = record::ClusterMeans{{a, b, c}, {8, 8, 8}};
    return out;
  };
  for (auto& arm : arms_) {
    const double more = arm.name == "moe" ? 0.1 : 0;
    arm.evaluations = {testing::made_evaluation(6, "one", {{"a", result(1, 2, 3)}}),
                       testing::made_evaluation(10, "two", {{"a", result(1.3 + more, 2.2 + more, 3.4 + more)}})};
    forgetting(arm.name, 0.3 + more, 2.0, 0.06);
  }
  EXPECT_THAT(study_headlines(arms_, tables_).at(0),
              HasSubstr("the MoE model forgets more than the dense one of the same FLOPs: +0.40 ± 0.06 nats a token on "
                        "a since the end of phase one against +0.30 ± 0.06."));
}

TEST_F(HeadlinesTest, TheSameFlopsAreSaidWhereTheyAre) {
  arms_ = {made_arm("dense", "dense", testing::kTinyDense), made_arm("moe", "moe", {}),
           made_arm("wide", "wide", {"model.d_expert=60"})};
  for (const char* arm : {"dense", "moe", "wide"}) forgetting(arm, 0.30, 2.0);
  const double dense = training_flops_per_token(arms_[0]), moe = training_flops_per_token(arms_[1]),
               wide = training_flops_per_token(arms_[2]);
  char ratio[64];
  std::snprintf(ratio, sizeof ratio, "%.2f to %.2f times its FLOPs", moe / dense, wide / dense);
  const auto found = study_headlines(arms_, tables_);
  EXPECT_THAT(found.at(0), AllOf(HasSubstr("the dense one, at "), HasSubstr(ratio), Not(HasSubstr("same FLOPs"))));
  EXPECT_THAT(found.at(1), HasSubstr("wide against moe (model.d_expert 60 in place of 6): forgetting on a since the "
                                     "end of phase one is +0.300 nats instead of +0.300"));
  EXPECT_EQ(found.back(), kOneSeed);
  arms_.pop_back();
  tables_ = train::new_tables();
  for (const char* arm : {"dense", "moe"}) forgetting(arm, 0.30, 2.0);
  EXPECT_THAT(study_headlines(arms_, tables_), ElementsAre(HasSubstr("the dense one of the same FLOPs"), kOneSeed));
}

TEST_F(HeadlinesTest, ReplayIsComparedWithTheArmThatDiffersInNothingElse) {
  arms_ = {made_arm("moe", "moe", {}), made_arm("moe-wide-r25", "moe-wide-r25", {kReplay, "model.d_expert=60"}),
           made_arm("other", "other", {"train.seed=9"}), made_arm("again", "again", {kReplay, "train.seed=9"})};
  forgetting("moe", 0.9, 1.0);
  forgetting("moe-wide-r25", 0.8, 1.0);
  forgetting("other", 0.40, 2.0);
  forgetting("again", 0.10, 2.5);
  EXPECT_THAT(
      study_headlines(arms_, tables_),
      ElementsAre(
          "again: with 25 % of the sequences replayed, forgetting on a since the end of phase one is +0.100 nats "
          "instead of +0.400 (−0.300; "
          "its error is not known); the loss on b is 2.50 instead of 2.00 (+0.500; its error is not known).",
          "moe differs from moe-wide-r25, the arm nearest to it, in replay and model.d_expert at once: no "
          "difference between the two has one cause.",
          kOneSeed));
}

TEST_F(HeadlinesTest, OtherBudgetsAndDataDoNotCompare) {
  arms_ = {made_arm("dense", "dense", testing::kTinyDense), made_arm("longer", "longer", {"phase.two.steps=8"})};
  for (const char* arm : {"dense", "longer"}) forgetting(arm, 0.30, 2.0);
  EXPECT_TRUE(study_headlines(arms_, tables_).empty());
  // The second phase goes on with the same data: nothing shifts.
  const std::string same = "phase.two.data=[{name = \"a\", path = \"/data/a\"}]";
  arms_ = {made_arm("steady", "steady", {same}), made_arm("steady-r25", "steady-r25", {same, kReplay})};
  tables_ = train::new_tables();
  for (const char* arm : {"steady", "steady-r25"}) {
    forgetting(arm, 0.30, 2.0);
    shift(arm, 0.4, 0.8, 1.2, 0.4);
  }
  EXPECT_TRUE(study_headlines(arms_, tables_).empty());
}

TEST_F(HeadlinesTest, NothingIsSaidWhereNothingCompares) {
  EXPECT_TRUE(study_headlines(arms_, tables_).empty());
  EXPECT_TRUE(study_headlines({}, tables_).empty());
  forgetting("moe-seed1", 0.30, 2.0);
  EXPECT_TRUE(study_headlines(arms_, tables_).empty());  // no dense figures, no replay, no shift
}

// A router against the other, with and without replay: the question of a study without a dense arm.
TEST_F(HeadlinesTest, AMatrixOfRoutersAndReplayIsAnsweredAlongBoth) {
  const std::string sinkhorn = "model.router={kind = \"sinkhorn\"}";
  arms_ = {made_arm("p", "p", {}), made_arm("p-r25", "p-r25", {kReplay}), made_arm("s", "s", {sinkhorn}),
           made_arm("s-r25", "s-r25", {sinkhorn, kReplay})};
  for (const char* arm : {"p", "p-r25", "s", "s-r25"}) forgetting(arm, 0.30, arm[0] == 's' ? 2.5 : 2.0);
  const auto found = study_headlines(arms_, tables_);
  ASSERT_EQ(found.size(), 5u);  // the last: of one seed
  EXPECT_THAT(found[0], HasSubstr("p-r25: with 25 % of the sequences replayed"));
  EXPECT_THAT(found[1], HasSubstr("s against p (router sinkhorn in place of top_k): forgetting on a since the end of "
                                  "phase one is +0.300 nats instead of +0.300"));
  EXPECT_THAT(found[3], HasSubstr("s-r25 against p-r25 (router sinkhorn in place of top_k)"));
}

// A router that had collapsed before the shift has nowhere to rise to: it is no example of balance.
TEST_F(HeadlinesTest, ACollapsedRouterIsSaidFirstWhereThereIsNoOther) {
  arms_ = {made_arm("moe", "moe", {})};
  auto step = testing::made_step(8, "two", {0.9, 0.9});
  step.alarms = {{0, record::Alarm::Kind::same_experts, "nearly all tokens have the same 2 of 4 experts"}};
  add_line(arms_[0], step);
  add_line(arms_[0], testing::made_evaluation(10, "two", {{"b", testing::made_result(2.0, {0.9, 0.9})}}));
  shift("moe", 0.95, 0.9, 0.95, 0.9);
  EXPECT_THAT(
      study_headlines(arms_, tables_),
      ElementsAre(
          "moe: the router has collapsed in phase two, layer 0, since step 8: at its worst nearly all tokens had the "
          "same 2 of 4 experts.",
          "moe: at the shift MRI, the busiest expert's share of a training batch (of one seed, without an interval), "
          "goes from 95 % to 90 %, peaks at 95 % in the first 4 steps, and ends at 90 %; an even load is 50.0 %. In "
          "the "
          "end 6 of 8 experts get a token of held-out b. Its router has collapsed on training batches.",
          kOneSeed));
}

// One of two routers has collapsed: the answers stand first and carry the mark themselves.
TEST_F(HeadlinesTest, ACollapseOfSomeArmsFollowsTheAnswers) {
  arms_ = {made_arm("moe", "moe", {}), made_arm("sound", "sound", {kReplay})};
  auto step = testing::made_step(8, "two", {0.9, 0.9});
  step.alarms = {{0, record::Alarm::Kind::same_experts, "nearly all tokens have the same 2 of 4 experts"}};
  add_line(arms_[0], step);
  forgetting("moe", 0.4, 2.0);
  forgetting("sound", 0.1, 2.0);
  EXPECT_THAT(study_headlines(arms_, tables_),
              ElementsAre(AllOf(::testing::StartsWith("sound: with 25 % of the sequences replayed"),
                                ::testing::EndsWith(" The router of moe has collapsed on training batches.")),
                          ::testing::StartsWith("moe: the router has collapsed in phase two, layer 0, since step 8"),
                          kOneSeed));
}

// Of weights that come from elsewhere the MRI before is that of held-out text: training batches do not rise from it.
TEST_F(HeadlinesTest, HeldOutTextAtStepZeroIsNoPointToRiseFrom) {
  arms_ = {made_arm("moe", "moe")};
  arms_[0].resolved["phase"].as_array().resize(1);
  arms_[0].resolved["model"]["from"] = "runs/first";
  train::find_table(tables_, "shift_mri").add_row({"moe", "one", Json(), 0.5, 0.93, 0.6, 0.63, 3, Json(), 0.55});
  EXPECT_THAT(study_headlines(arms_, tables_).at(0),
              AllOf(HasSubstr("begins at 60 %, peaks at 63 % in the first 6 steps, and ends at 55 %; an even load is "
                              "50.0 %. Of other text, held-out b, it is 93 % at step 0."),
                    ::testing::Not(HasSubstr("goes from"))));
}

// A collapse that is over is no answer to the study's question: it follows the comparisons, before the notes.
TEST_F(HeadlinesTest, ARecoveredCollapseFollowsTheComparisons) {
  arms_ = {made_arm("moe", "moe", {})};
  auto step = testing::made_step(8, "two", {0.9, 0.9});
  step.alarms = {{0, record::Alarm::Kind::same_experts, "nearly all tokens have the same 2 of 4 experts"}};
  add_line(arms_[0], step);
  add_line(arms_[0], testing::made_step(9, "two", {0.5, 0.5}));
  add_line(arms_[0], testing::made_evaluation(10, "two", {{"b", testing::made_result(2.0, {0.5, 0.5})}}));
  shift("moe", 0.5, 0.9, 0.95, 0.5);
  EXPECT_THAT(study_headlines(arms_, tables_),
              ElementsAre(HasSubstr("moe: at the shift MRI"),
                          "moe: the router was collapsed in phase two, layer 0, from step 8 to step 10 at the latest: "
                          "nearly all tokens had the same 2 of 4 experts.",
                          kOneSeed));
}

// In the end, on both sets: a router that is even on the new text may have lost the old one.
TEST_F(HeadlinesTest, ImbalanceInTheEndIsThatOfBothHeldOutSets) {
  arms_ = {made_arm("moe", "moe", {})};
  shift("moe", 0.5, 0.6, 0.7, 0.55);
  auto& table = train::find_table(tables_, "eval_mri");
  table.add_row({"moe", "one", "a", 0, 0.5, 0.9, 0, Json()});  // not of the last phase
  table.add_row({"moe", "two", "b", 0, 0.525, 0.9, 0, Json()});
  table.add_row({"moe", "two", "a", 0, 0.75, 0.9, 0, Json()});
  EXPECT_THAT(study_headlines(arms_, tables_).at(0),
              HasSubstr("ends at 55 %; an even load is 50.0 %. Of held-out text it is 52.5 % on b and 75.0 % on a."));
}

// The evaluation knows how much another text would differ: of one seed that is the error of the figure.
TEST_F(HeadlinesTest, ImbalanceOfHeldOutTextHasItsErrorByTheText) {
  arms_ = {made_arm("moe", "moe", {})};
  auto result = testing::made_result(2.0, {0.525, 0.525});
  result.mri_se = 0.004;
  arms_[0].evaluations = {testing::made_evaluation(10, "two", {{"b", result}})};
  shift("moe", 0.5, 0.6, 0.7, 0.55);
  train::find_table(tables_, "eval_mri").add_row({"moe", "two", "b", 0, 0.525, 0.9, 0, Json()});
  EXPECT_THAT(study_headlines(arms_, tables_).at(0), HasSubstr("Of held-out text it is 52.5 ± 0.4 % on b."));
}

// The table `routers` with what the sentences read.
Table routers_table() {
  Table table;
  for (const char* name : {"arm", "router", "capacity", "eval_causal", "new_data", "lower_bound", "loss_new",
                           "mri_before", "mri_peak", "eval_mri_new", "dead", "experts", "old_data", "eval_mri_old"})
    table.columns.push_back({name, ""});
  table.rows = {
      {"a-1", "top_k", "none", true, "b", 0.125, 2.0, 0.2, 0.6, 0.50, 2, 16, "a", 0.75},
      {"a-2", "top_k", "none", true, "b", 0.125, 3.0, 0.2, 0.8, 0.70, 4, 16, "a", 0.75},
      {"b", "hash", "none", true, "b", 0.125, 2.75, 0.4, 0.4, 0.25, 0, 16, "a", 0.50},
      {"ahead", "expert_choice", "none", false, "b", 0.125, 0.5, Json(), Json(), 0.125, Json(), 16, "a", Json()},
      {"dense", Json(), Json(), Json(), "b", Json(), 0.1, Json(), Json(), Json(), Json(), Json(), "a", Json()}};
  return table;
}

TEST_F(HeadlinesTest, OfManyRoutersTheBestAndTheWorst) {
  std::vector<Arm> arms = {made_arm("a-1", "a", {}), made_arm("a-2", "a", {"train.seed=2"}), made_arm("b", "b", {}),
                           made_arm("ahead", "ahead", {}), made_arm("dense", "dense", testing::kTinyDense)};
  tables_.emplace_back("routers", routers_table());
  EXPECT_THAT(
      study_headlines(arms, tables_),
      ElementsAre("Of 2 routing rules that do not look ahead at evaluation a has the lowest loss on b in the end, 2.5 "
                  "± 0.7 nats a token, and b the highest, 2.75 (no difference beyond noise: 0; 95 %: −11 to +11).",
                  "At the shift the busiest expert's share of a training batch (peaks: means over seeds) goes from "
                  "40 to a peak of 40 % under b, and from 20 to a peak of 70 ± 14 % under a; an even load is 12.5 %.",
                  "On held-out b the busiest expert gets 12.5 % of the tokens under ahead, and 60 ± 14 % of the tokens "
                  "under a, with 13 of 16 experts in use; an even load is 12.5 %.",
                  "On held-out a the busiest expert gets 50.0 % of the tokens under b, and 75.0 % of the tokens under "
                  "a; an even load is 12.5 %."));
  // b has collapsed: it is no example of a small rise any more, and says so where it is named.
  auto collapsed = arms;
  auto step = testing::made_step(8, "two", {0.9});
  step.alarms = {{0, record::Alarm::Kind::one_expert, "one"}};
  add_line(collapsed[2], step);
  EXPECT_THAT(study_headlines(collapsed, tables_),
              ElementsAre(HasSubstr("and b (its router has collapsed on training batches) the highest"),
                          HasSubstr("under ahead"),
                          HasSubstr("50.0 % of the tokens under b (its router has collapsed on training batches)"),
                          "b: the router has collapsed in phase two, layer 0, since step 8: one."));
  // Two arms of one rule are not two rules, and an arm with another budget is left out.
  auto others = arms;
  others.push_back(made_arm("b-again", "b-again", {}));
  others.push_back(made_arm("longer", "longer", {"phase.two.steps=8"}));
  auto& rows = train::find_table(tables_, "routers").rows;
  rows.push_back({"b-again", "hash", "none", true, "b", 0.0625, 2.75, 0.4, 0.4, 0.25, 0, 16, "a", Json()});
  rows.push_back({"longer", "top_k", "none", true, "b", 0.125, 1.0, 0.1, 0.9, 0.99, 0, 16, "a", Json()});
  const auto more = study_headlines(others, tables_);
  EXPECT_THAT(more.at(0), HasSubstr("Of 3 arms with routers that do not look ahead at evaluation a has the lowest loss "
                                    "on b in the end, 2.5 ± 0.7"));
  EXPECT_THAT(more.at(2),
              AllOf(HasSubstr("60 ± 14 % of the tokens under a"), HasSubstr("an even load is 6.2 to 12.5 %")));
}

// The best and the worst of many routers are compared in tokens and tasks too, where they differ in the routing alone.
TEST_F(HeadlinesTest, OfManyRoutersTheBestAndTheWorstHaveTheirTokensAndTasks) {
  std::vector<Arm> arms = {made_arm("a-1", "a", {}), made_arm("b", "b", {"model.router={kind = \"sinkhorn\"}"}),
                           made_arm("ahead", "ahead", {})};
  tables_.emplace_back("routers", routers_table());
  std::erase_if(tables_.back().second.rows,
                [](const auto& row) { return row[0].as_string() == "a-2" || row[0].as_string() == "dense"; });
  Table tokens, tasks;
  for (const char* name : {"arm", "data", "loss", "tokens", "reference"}) tokens.columns.push_back({name, ""});
  for (const char* name : {"arm", "phase", "task", "accuracy"}) tasks.columns.push_back({name, ""});
  tokens.rows = {{"a-1", "a", 3.5, 2000, "a"}, {"b", "a", 3.5, 4000, "a"}};
  tasks.rows = {{"a-1", "two", "quiz", 0.5}, {"b", "two", "quiz", 0.25}};
  tables_.emplace_back("tokens_to_loss", tokens);
  tables_.emplace_back("tasks", tasks);
  const auto found = study_headlines(arms, tables_);
  EXPECT_THAT(found.at(0), HasSubstr("a has the lowest loss on b in the end"));
  EXPECT_THAT(found.at(1), ::testing::StartsWith("a against b (router top_k in place of sinkhorn"));
  EXPECT_THAT(found.at(1), HasSubstr(" takes 2.00 instead of 4.00 thousand tokens ("));
  EXPECT_THAT(found.at(1), HasSubstr("; accuracy on quiz is 0.500 instead of 0.250 ("));
  arms[1] = made_arm("b", "b", {"model.router={kind = \"sinkhorn\"}", "model.d_expert=7"});  // no pair: two differences
  EXPECT_THAT(study_headlines(arms, tables_), ::testing::Not(::testing::Contains(HasSubstr("accuracy on quiz"))));
}

TEST_F(HeadlinesTest, SeedsThatContinueOneModelAreSaidToShareIt) {
  const std::string from = "phase.one.start={from = \"/runs/first\"}";
  arms_ = {made_arm("moe-seed1", "moe", {from}), made_arm("moe-seed2", "moe", {from, "train.seed=2"})};
  shift("moe-seed1", 0.5, 0.6, 0.7, 0.55);
  const auto found = study_headlines(arms_, tables_);
  EXPECT_EQ(found.back(),
            "The seeds of a group continue the same weights: their spread is that of the continued training, and after "
            "another pre-training figures may differ by more.");
}

TEST_F(HeadlinesTest, SayWhatNoHeldOutSetTellsOf) {
  arms_ = {made_arm("moe", "moe", {"phase.one.eval={data = [{name = \"old\", path = \"/data/a-heldout\"}]}"})};
  tables_ = train::new_tables();
  EXPECT_THAT(
      study_headlines(arms_, tables_),
      ::testing::Contains(HasSubstr("Nothing is said of the loss on b: phase.eval.data has no held-out set of it.")));
}

}  // namespace
}  // namespace evenkeel::study
