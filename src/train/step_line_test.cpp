#include "train/step_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Step 7, 2 s for 100 tokens; 3 of 4 assignments of one MoE layer go to one of its two experts.
struct Example {
  TrainState state;
  StepReport report;
  std::map<std::string, int64_t> sources = {{"de", 3}, {"replay/en", 1}};
  std::string phase = "german";
  std::vector<Alarm> alarms;
  Example() {
    state.step = 7;
    state.phase_step = 2;
    state.tokens = 700;
    report.loss = 2.51;
    report.terms = {{"cross_entropy", 2.5, 1.0}, {"balance", 1.0, 0.01}};
    report.learning_rate = 1e-3;
    report.n_tokens = report.n_scored = 100;
    analysis::RoutingCounts counts;
    counts.layer = 1;
    counts.n_experts = 2;
    counts.top_k = 1;
    counts.n_tokens = 4;
    counts.tokens_per_expert = {1, 3};
    report.routing = {counts};
  }
  StepLine line() const { return {state, phase, 5, report, sources, 2.0, 0.5, alarms}; }
};

TEST(StepLine, IsTheLineOfMetrics) {
  const Example example;
  const Json json = evenkeel::to_json(row_of(example.line()));
  EXPECT_EQ(json.at("step").as_int(), 7);
  EXPECT_EQ(json.at("phase_step").as_int(), 2);
  EXPECT_EQ(json.at("tokens_per_second").as_double(), 50.0);
  EXPECT_EQ(json.at("sources").dump(), R"({"de":3,"replay/en":1})");
  EXPECT_EQ(json.at("loss_terms").at("balance").as_double(), 1.0);
  EXPECT_EQ(json.at("routing").at(0).at("mri").as_double(), 0.75);
}

TEST(StepLine, SaysWhatIsScoredWhereThatIsNotAll) {
  Example example;
  auto line = example.line();
  line.objective = "ul2";
  EXPECT_EQ(row_of(line).objective, "ul2");
  EXPECT_EQ(row_of(line).scored_share, 1.0);
  EXPECT_EQ(row_of(line).padding_share, 0.0);
  EXPECT_THAT(terminal_text(line), Not(::testing::AnyOf(HasSubstr("scored"), HasSubstr("padding"))));
  example.report.n_padding = 20;
  example.report.n_scored = 16;
  EXPECT_EQ(row_of(example.line()).scored_share, 0.2);  // of the 80 that are no padding
  EXPECT_EQ(row_of(example.line()).padding_share, 0.2);
  EXPECT_THAT(terminal_text(example.line()), HasSubstr("MRI 0.75  scored 20%  padding 20.0%  (loss"));
}

TEST(StepLine, HasTheAlarmsOfTheStep) {
  Example example;
  EXPECT_TRUE(row_of(example.line()).alarms.empty());
  example.alarms = {{1, Alarm::Kind::one_expert, "one expert"},
                    {Alarm::kAllLayers, Alarm::Kind::not_causal, "looks ahead"}};
  EXPECT_EQ(row_of(example.line()).alarms, example.alarms);
}

TEST(StepLine, IsShortOnTheTerminal) {
  Example example;
  const std::string text = terminal_text(example.line());
  EXPECT_THAT(
      text, ::testing::StartsWith("german 2/5  loss 2.510  MRI 0.75  (loss = 2.500 ce + 0.010 balance)  lr 1.00e-03"));
  EXPECT_THAT(text, ::testing::EndsWith("  50 tok/s  50% of matmul speed"));
  EXPECT_THAT(text, Not(HasSubstr("dropped")));
  example.report.routing[0].n_dropped = 1;
  EXPECT_THAT(terminal_text(example.line()), HasSubstr("MRI 0.75  dropped 25.0%"));
  EXPECT_EQ(row_of(example.line()).routing.at(0).dropped, 0.25);
  example.report.routing.clear();
  EXPECT_THAT(terminal_text(example.line()), Not(HasSubstr("MRI")));
}

TEST(StepLine, NamesTheTermsThatEnterTheLoss) {
  Example example;
  example.report.terms.push_back({"z", 30.0, 0.0});
  EXPECT_THAT(terminal_text(example.line()), HasSubstr("(loss = 2.500 ce + 0.010 balance)"));
  example.report.terms[2].coefficient = 0.001;
  EXPECT_THAT(terminal_text(example.line()), HasSubstr("(loss = 2.500 ce + 0.010 balance + 0.030 z)"));
  example.report.terms.resize(1);
  EXPECT_THAT(terminal_text(example.line()), Not(HasSubstr("ce")));  // it is the loss
}

}  // namespace
}  // namespace evenkeel::train
