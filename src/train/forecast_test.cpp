#include "train/forecast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "model/layout.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// 32 tokens a step; sets "a" and "b" of 20 samples, "a-heldout" of 50 tokens.
class ForecastTest : public ::testing::Test {
 protected:
  ForecastTest() { testing::write_tiny_sets(folder_); }
  RunConfig config(const std::vector<std::string>& overrides = {}) const {
    return testing::tiny_config(folder_.path(), overrides);
  }
  testing::TemporaryFolder folder_;
  StepRate rate_{"stated", "", /*step_seconds=*/2, /*forward_seconds_per_token=*/0.1};
};

TEST_F(ForecastTest, CountsEpochsOfEachSourceOverTheRun) {
  const auto run = forecast(config({"phase.two.replay={fraction = 0.25, from = \"one\"}"}), rate_);
  ASSERT_EQ(run.phases.size(), 2u);
  const auto& first = run.phases[0].sources;
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].tokens, 6 * 32);
  EXPECT_EQ(first[0].data_tokens, 161);
  EXPECT_DOUBLE_EQ(first[0].epochs, 24.0 / 20);
  const auto& second = run.phases[1].sources;
  ASSERT_EQ(second.size(), 2u);
  EXPECT_EQ(second[0].tokens, 4 * 32 * 0.75);
  EXPECT_EQ(second[1].name, "replay/a");
  EXPECT_DOUBLE_EQ(second[1].epochs, 4.0 / 20);
  EXPECT_DOUBLE_EQ(second[1].epochs_so_far, 28.0 / 20);
  EXPECT_THAT(run.warnings(), ElementsAre("the source replay/a is repeated: the run passes over " +
                                          (folder_ / "a").string() + " 1.40 times by the end of phase two"));
}

// Text and what is fed of it are two counts where an objective adds to the text.
TEST_F(ForecastTest, EpochsAreOfTextAndNotOfWhatIsFed) {
  const auto run = forecast(
      config({"model.vocab_size=64", "phase.one.objective={kind = \"span_corruption\", inputs = 5, targets = 3}",
              "phase.two.replay={fraction = 0.25, from = \"one\"}"}),
      rate_);
  const auto& use = run.phases[0].sources[0];
  EXPECT_EQ(use.objective, "span_corruption");
  EXPECT_TRUE(use.is_estimate);
  EXPECT_EQ(use.tokens, 6 * 32);
  EXPECT_LT(use.text_tokens, use.tokens);
  EXPECT_DOUBLE_EQ(use.epochs, use.text_tokens / 160);
  EXPECT_GT(use.epoch_tokens, 160);
  EXPECT_DOUBLE_EQ(use.epoch_tokens * use.epochs, use.tokens);
  const auto& later = run.phases[1].sources;
  EXPECT_EQ(later[0].objective, "causal");
  EXPECT_FALSE(later[0].is_estimate);
  EXPECT_EQ(later[0].text_tokens, later[0].tokens);
  EXPECT_EQ(later[0].epoch_tokens, 160);
  EXPECT_EQ(later[1].objective, "span_corruption");  // what is replayed keeps its phase's
  const Json json = phases_json(run).at(0).at("sources").at(0);
  EXPECT_EQ(json.at("is_estimate"), Json(true));
  EXPECT_EQ(json.at("text_tokens").as_double(), use.text_tokens);
}

// Phases are whole steps: one of "1 epoch" may begin the next pass, and has no more than that of it.
TEST_F(ForecastTest, AnEpochThatIsRoundedUpToWholeStepsIsNoRepetition) {
  for (const std::string objective : {"causal", "span_corruption"}) {
    const std::string options = objective == "causal" ? "" : ", inputs = 5, targets = 3";
    const auto of = [&](const std::string& length) {
      ConfigNode root =
          testing::tiny_recipe(folder_.path(), {"model.vocab_size=64", "train.batch_size=3",
                                                "phase.one.objective={kind = \"" + objective + "\"" + options + "}"});
      root.find("phase")->list()[0].erase("steps");
      apply_override(root, "phase.one.tokens=" + length);
      return forecast(open_run_config(root), rate_);
    };
    const auto once = of("\"1 epoch\"");
    EXPECT_GE(once.phases[0].sources[0].epochs, 1 - 1e-12) << objective;
    EXPECT_LT(once.phases[0].sources[0].epochs, 1.15) << objective;  // a step of three sequences is 0.15 at most
    EXPECT_THAT(once.warnings(), ElementsAre()) << objective;
    EXPECT_THAT(of("\"1.5 epochs\"").warnings(), ElementsAre(HasSubstr("is repeated"))) << objective;
  }
}

TEST_F(ForecastTest, AnEvaluationByAnObjectiveEndsAtMaxTokens) {
  const auto tokens = [&](const std::string& most) {
    return forecast(config({"model.vocab_size=64", "phase.one.eval={max_tokens = " + most +
                                                       ", data = [{name = \"held\", path = \"" +
                                                       (folder_ / "a-heldout").string() +
                                                       "\", objective = {kind = \"span_corruption\", inputs = 5, "
                                                       "targets = 3}}]}"}),
                    rate_)
        .phases[0]
        .evaluation_tokens;
  };
  EXPECT_EQ(tokens("1"), 8);  // one sequence
  EXPECT_GT(tokens("0"), 49);
  EXPECT_EQ(tokens("100000"), tokens("0"));
}

TEST_F(ForecastTest, AReplayOfWhatWasSeenIsNoRepetition) {
  const auto run = forecast(
      config({"phase.one.steps=4", "phase.two.replay={fraction = 0.5, from = \"one\", mode = \"seen\"}"}), rate_);
  EXPECT_THAT(run.warnings(), ElementsAre());
  EXPECT_TRUE(run.phases[1].sources[1].repeats_on_purpose);
}

TEST_F(ForecastTest, DataThatAreNotThereAreUnknownAndDamagedOnesAreRefused) {
  const auto missing = config({"phase.two.data=[{name = \"c\", path = \"" + (folder_ / "later").string() + "\"}]"});
  EXPECT_EQ(forecast(missing, rate_).phases[1].sources[0].data_tokens, 0);
  EXPECT_TRUE(phases_json(forecast(missing, rate_)).at(1).at("sources").at(0).at("epochs").is_null());
  EXPECT_THAT(forecast(missing, rate_).missing, ElementsAre((folder_ / "later").string()));
  EXPECT_THAT(forecast(config(), rate_).missing, ElementsAre());
  folder_.write("later.idx", "no index");
  folder_.write("later.bin", "");
  EXPECT_THROW(forecast(missing, rate_), DataError);
}

TEST_F(ForecastTest, TimeIsThatOfStepsEvaluationAndCheckpoints) {
  const auto run = forecast(config({"phase.one.eval={every = \"4 steps\", data = [{name = \"held\", path = \"" +
                                    (folder_ / "a-heldout").string() + "\"}]}"}),
                            rate_);
  EXPECT_EQ(run.phases[0].training_seconds, 12);
  EXPECT_EQ(run.phases[0].evaluation_tokens, 2 * 49);  // at step 4 and at the end
  EXPECT_DOUBLE_EQ(run.phases[0].evaluation_seconds, 2 * 49 * 0.1);
  EXPECT_DOUBLE_EQ(run.phases[1].evaluation_seconds, 3 * 49 * 0.1);  // at its end, and twice for the saturation
  EXPECT_DOUBLE_EQ(run.seconds(),
                   20 + 5 * 49 * 0.1 + run.phases[0].checkpoint_seconds + run.phases[1].checkpoint_seconds);
  EXPECT_EQ(forecast(config({"phase.one.eval.max_tokens=10"}), rate_).phases[0].evaluation_tokens, 10);
}

TEST_F(ForecastTest, EachEvaluationOfASetHasAFixedCost) {
  const std::string held = (folder_ / "a-heldout").string(),
                    eval = "{every = \"2 steps\", max_tokens = 4, data = [{name = \"x\", path = \"" + held +
                           "\"}, {name = \"y\", path = \"" + held + "\"}, {name = \"later\", path = \"" +
                           (folder_ / "later").string() + "\"}]}";
  auto rate = rate_;
  rate.evaluation_seconds = 7;
  const auto phase = forecast(config({"phase.one.eval=" + eval}), rate).phases[0];
  EXPECT_EQ(phase.evaluation_tokens, 3 * 2 * 4);  // after steps 2, 4 and 6; the third set is not there
  EXPECT_DOUBLE_EQ(phase.evaluation_seconds, 3 * 2 * (4 * 0.1 + 7));
  const auto second = forecast(config({"phase.two.eval=" + eval}), rate).phases[1];
  EXPECT_DOUBLE_EQ(second.evaluation_seconds, (2 + 2) * 2 * (4 * 0.1 + 7));  // and two passes for the saturation
}

TEST_F(ForecastTest, CountsTheCheckpointsThatStay) {
  const auto count = [&](const std::vector<std::string>& overrides) {
    return forecast(config(overrides), rate_).checkpoints;
  };
  EXPECT_EQ(count({}), 2);  // the ends of the phases
  EXPECT_EQ(count({"train.checkpoint_every=\"2 steps\""}), 5);
  EXPECT_EQ(count({"train.checkpoint_every=\"64 tokens\""}), 5);
  EXPECT_EQ(count({"train.checkpoint_every=\"2 steps\"", "train.keep_last=1"}), 3);
  EXPECT_EQ(count({"phase.two.start={from = \"one\", step = 5}"}), 3);
  const auto one = config();
  EXPECT_EQ(forecast(one, rate_).checkpoint_bytes,
            12.0 * static_cast<double>(model::count_parameters(one.model).total));
  const auto two = config({"optimizer={kind = \"adafactor\"}"});  // of matrices that are too small to be factored
  EXPECT_EQ(forecast(two, rate_).checkpoint_bytes, 8.0 * static_cast<double>(model::count_parameters(two.model).total));
}

TEST_F(ForecastTest, StatedRatesFollowFromTheFlops) {
  const auto tiny = config();
  const auto rate = stated_rate(tiny, 1e9);
  EXPECT_DOUBLE_EQ(rate.step_seconds, model::training_flops_per_token(tiny.model, 8) * 32 / 1e9);
  EXPECT_DOUBLE_EQ(rate.forward_seconds_per_token * 3 * 32, rate.step_seconds);
  const Json time = time_json(tiny, rate, forecast(tiny, rate));
  EXPECT_DOUBLE_EQ(time.at("tokens_per_second").as_double(), 32 / rate.step_seconds);
}

TEST_F(ForecastTest, MeasuresStepsOrSaysWhyNot) {
  const auto measured = measure_rate(config(), "cpu");
  EXPECT_EQ(measured.source, "measured");
  EXPECT_GT(measured.step_seconds, 0);
  EXPECT_GT(measured.forward_seconds_per_token, 0);
  EXPECT_LT(measured.forward_seconds_per_token * 32, measured.step_seconds);
  EXPECT_GT(measured.evaluation_seconds, 0);
  const auto huge = measure_rate(config({"model.vocab_size=200000000", "model.d_model=65536"}), "cpu");
  EXPECT_EQ(huge.source, "bound");
  EXPECT_THAT(huge.note, HasSubstr("not measured: it needs"));
  EXPECT_EQ(measure_rate(config(), "cpu", /*may_measure=*/false).source, "bound");
}

}  // namespace
}  // namespace evenkeel::train
