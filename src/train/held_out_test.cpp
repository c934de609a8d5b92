#include "train/held_out.h"

#include <gtest/gtest.h>

#include "support/tiny_run.h"
#include "train/evaluate.h"

namespace evenkeel::train {
namespace {

class HeldOutTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_tiny_sets(folder_);
    config_ = testing::tiny_config(
        folder_.path(), {"train.micro_batch_size=2",
                         "phase.one.eval={data = [{name = \"held\", path = \"" + (folder_ / "a-heldout").string() +
                             "\"}, {name = \"b\", path = \"" + (folder_ / "b").string() + "\"}], max_tokens = 40}"});
    data_.open(config_);
    model_ = std::make_unique<model::Transformer>(config_.model);
    state_ = initial_state(config_, *model_, at::kCPU);
    state_.step = 6;
    state_.tokens = 192;
    state_.records.push_back({.name = "one", .start_step = 2});
  }
  HeldOut held_out() const { return {config_, config_.phases[0], *model_, state_, data_}; }
  testing::TemporaryFolder folder_;
  RunConfig config_;
  InputData data_;
  std::unique_ptr<model::Transformer> model_;
  TrainState state_;
};

TEST_F(HeldOutTest, AnEvaluationHasEverySetAsEvaluateHasIt) {
  const Json line = record::to_json(evaluation_line(held_out()));
  EXPECT_EQ(line.at("step").as_int(), 6);
  EXPECT_EQ(line.at("phase").as_string(), "one");
  EXPECT_EQ(line.at("tokens").as_int(), 192);
  ASSERT_EQ(line.at("eval").size(), 2U);
  for (const std::string name : {"held", "b"}) {
    EvalOptions options;
    options.sequence_length = 8;
    options.max_tokens = 40;
    const auto path = (folder_ / (name == "b" ? "b" : "a-heldout")).string();
    const auto result = evaluate(*model_, {state_.params, state_.router_states}, data_.at(path), options);
    EXPECT_EQ(line.at("eval").at(name).at("tokens").as_int(), 40);
    EXPECT_NEAR(line.at("eval").at(name).at("loss").as_double(), result.loss,
                1e-6);  // sums of fp32 losses in other batches
  }
}

TEST_F(HeldOutTest, ABaselineHasTheSetsOfAllPhasesAsTheFirstThatHasThemDoes) {
  config_ = testing::tiny_config(folder_.path(), {"phase.one.eval={data = [{name = \"held\", path = \"" +
                                                      (folder_ / "a-heldout").string() + "\"}], max_tokens = 40}",
                                                  "phase.two.eval={data = [{name = \"new\", path = \"" +
                                                      (folder_ / "b").string() + "\"}, {name = \"held\", path = \"" +
                                                      (folder_ / "a-heldout").string() + "\"}], max_tokens = 24}"});
  data_.open(config_);
  state_.step = 0;
  const auto line = baseline_line(held_out());
  EXPECT_EQ(line.step, 0);
  EXPECT_EQ(line.phase, "one");
  ASSERT_EQ(line.eval.size(), 2U);
  EXPECT_EQ(line.eval[0].first, "held");
  EXPECT_EQ(line.eval[0].second.tokens, 40);
  EXPECT_EQ(line.eval[1].first, "new");
  EXPECT_EQ(line.eval[1].second.tokens, 24);
}

TEST_F(HeldOutTest, SaturationIsOneAgainstItselfAndNamesItsSteps) {
  const Json line = record::to_json(saturation_line(held_out(), state_));
  ASSERT_EQ(line.at("saturation").size(), 2U);
  const Json& rows = line.at("saturation").at("held");
  ASSERT_EQ(rows.size(), 4U);  // two layers, first choice and all choices
  for (const auto& row : rows.as_array()) {
    EXPECT_EQ(row.at("from").as_int(), 2);
    EXPECT_EQ(row.at("to").as_int(), 6);
    EXPECT_EQ(row.at("saturation").as_double(), 1.0);
    EXPECT_LT(row.at("chance").as_double(), 1.0);
  }
  auto other = initial_state(testing::tiny_config(folder_.path(), {"train.seed=5"}), *model_, at::kCPU);
  EXPECT_LT(saturation_line(held_out(), other).saturation.at(0).second.at(0).saturation, 1.0);
}

}  // namespace
}  // namespace evenkeel::train
