// A collapsed router never makes a headline that sounds good: whatever a study says of one, it says that it has
// collapsed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "study/tables.h"
#include "support/made_arms.h"
#include "support/made_lines.h"

namespace evenkeel::study {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using testing::made_arm;
using train::Arm;

// Notes that tell of no figure.
bool is_neutral(const std::string& sentence) {
  return sentence.starts_with("Every arm has one seed") ||
         sentence.find("no difference between the two has one cause") != std::string::npos;
}

// A collapse in phase two: by a check of a training step, or by the last evaluation, in which 3 of 4 experts of a layer
// have no token.
void collapse(Arm& arm, bool by_a_check) {
  auto step = testing::made_step(10, "two", {0.9, 0.9});
  auto result = testing::made_result(1.0, {0.9, 0.9});
  if (by_a_check) step.alarms = {{0, record::Alarm::Kind::one_expert, "one expert has nearly all tokens"}};
  if (!by_a_check) result.routing[0].dead = 3;
  add_line(arm, step);
  add_line(arm, testing::made_evaluation(10, "two", {{"a", result}, {"b", result}}));
}

// Figures that would be good news: little forgetting, low losses, an MRI that falls, few tokens.
train::NamedTables good_news(const std::vector<Arm>& arms) {
  auto tables = train::new_tables();
  Table tokens, tasks;
  for (const char* name : {"arm", "data", "loss", "tokens", "reference"}) tokens.columns.push_back({name, ""});
  for (const char* name : {"arm", "phase", "task", "accuracy"}) tasks.columns.push_back({name, ""});
  double better = 0;
  for (const auto& arm : arms) {
    better += 0.1;
    auto& forgetting = train::find_table(tables, "forgetting");
    forgetting.add_row({arm.name, "two", "a", 3.0, 9.0, 9.0, 0.01, 9.0, 1.0 - better, 0.01, "one"});
    forgetting.add_row({arm.name, "two", "b", 2.0 - better, 9.0, Json(), 0.01, Json(), Json(), Json(), Json()});
    tokens.rows.push_back({arm.name, "a", 3.5, 1000 - 100 * better, "dense"});
    tasks.rows.push_back({arm.name, "two", "quiz", better});
    if (!train::arm_model(arm).is_moe()) continue;
    train::find_table(tables, "shift_mri")
        .add_row({arm.name, "two", Json(), 0.5, 0.9, 0.7 - better / 2, 0.9 - better / 2, 3, 5, 0.55});
    for (const char* data : {"a", "b"})
      train::find_table(tables, "eval_mri").add_row({arm.name, "two", data, 0, 0.6 - better / 10, 0.9, 0, Json()});
  }
  tables.emplace_back("tokens_to_loss", tokens);
  tables.emplace_back("tasks", tasks);
  return tables;
}

void expect_collapse_everywhere(const std::vector<std::string>& sentences, const std::vector<std::string>& kinds) {
  for (const auto& sentence : sentences)
    EXPECT_THAT(is_neutral(sentence) ? "collapsed" : sentence, HasSubstr("collapsed"));
  for (const auto& kind : kinds)
    EXPECT_THAT(sentences, Contains(HasSubstr(kind)));  // the sentences that this test is about are there
}

TEST(Headlines, OfCollapsedArmsSaySoInEachSentenceOfPairs) {
  const std::string replay = "phase.two.replay={fraction = 0.25, from = \"one\"}",
                    sinkhorn = "model.router={kind = \"sinkhorn\"}";
  for (const bool by_a_check : {true, false}) {
    std::vector<Arm> arms = {made_arm("dense", "dense", testing::kTinyDense), made_arm("p", "p"),
                             made_arm("s", "s", {sinkhorn}), made_arm("s-r25", "s-r25", {sinkhorn, replay})};
    for (size_t i = 1; i < arms.size(); ++i) collapse(arms[i], by_a_check);
    expect_collapse_everywhere(study_headlines(arms, good_news(arms)),
                               {"Without replay", "s against p", "with 25 % of the sequences replayed",
                                "accuracy on quiz", "tokens", "at the shift MRI"});
  }
}

TEST(Headlines, OfManyCollapsedRoutersSaySoInEachSentence) {
  std::vector<Arm> arms = {made_arm("p", "p"), made_arm("s", "s", {"model.router={kind = \"sinkhorn\"}"}),
                           made_arm("h", "h", {"model.router={kind = \"loss_free\"}", "model.balance={loss = []}"})};
  for (auto& arm : arms) collapse(arm, /*by_a_check=*/true);
  auto tables = good_news(arms);
  Table routers;
  for (const char* name : {"arm", "router", "capacity", "eval_causal", "new_data", "lower_bound", "loss_new",
                           "mri_before", "mri_peak", "eval_mri_new", "dead", "experts", "old_data", "eval_mri_old"})
    routers.columns.push_back({name, ""});
  routers.rows = {{"p", "top_k", "none", true, "b", 0.5, 2.0, 0.8, 0.9, 0.5, 2, 8, "a", 0.7},
                  {"s", "sinkhorn", "none", true, "b", 0.5, 1.9, 0.8, 0.7, 0.6, 4, 8, "a", 0.6},
                  {"h", "loss_free", "none", true, "b", 0.5, 1.8, 0.8, 0.6, 0.7, 6, 8, "a", 0.5}};
  tables.emplace_back("routers", routers);
  expect_collapse_everywhere(study_headlines(arms, tables), {"has the lowest loss", "h against p", "accuracy on quiz",
                                                             "On held-out b", "On held-out a"});
}

}  // namespace
}  // namespace evenkeel::study
