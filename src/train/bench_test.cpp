#include "train/bench.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/layout.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

// One call, since the products of 4096 that every call measures take seconds.
TEST(Bench, FiguresFollowFromTheMedianStep) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_sets(folder);
  const auto config = testing::tiny_config(folder.path());
  const Json out = bench(config, {.n_steps = 4, .real_data = true, .phase = "two", .device = "cpu"});
  const double median = out.at("step_seconds").at("median").as_double(), rate = out.at("tokens_per_second").as_double();
  EXPECT_GT(out.at("step_seconds").at("min").as_double(), 0);
  EXPECT_LE(out.at("step_seconds").at("min").as_double(), median);
  EXPECT_NEAR(rate, 32 / median, 1e-9 * rate);
  EXPECT_EQ(out.at("flops_per_token").as_double(), model::training_flops_per_token(config.model, 8));
  EXPECT_NEAR(out.at("gflops").as_double(), out.at("flops_per_token").as_double() * rate / 1e9, 1e-9);
  EXPECT_GT(out.at("gemm_peak_gflops").as_double(), out.at("gflops").as_double());
  EXPECT_GE(out.at("mri_mean").as_double(), 0.5);  // k / E
  EXPECT_LE(out.at("mri_mean").as_double(), 1.0);
  EXPECT_GT(out.at("peak_rss_bytes").as_int(), 1 << 20);
  double parts = 0;
  for (const char* part : {"forward", "backward", "optimizer"})
    parts += out.at("breakdown_seconds").at(part).as_double();
  EXPECT_GT(parts, 0);
  EXPECT_EQ(out.at("steps").as_int(), 4);
}

// Attention under a mask takes longer and holds more, so that what is timed has one where training has.
TEST(RandomBatch, HasDocumentsWhereTrainingSeesUnderAMask) {
  const std::string seen = "{kind = \"prefix_lm\", prefix_attention = true}";
  const auto has_documents = [](const std::vector<std::string>& overrides) {
    RngStream rng(1, "bench");
    const auto batch = random_batch(testing::tiny_config("/data", overrides), rng);
    EXPECT_EQ(batch.tokens.sizes(), batch.targets.sizes());
    EXPECT_TRUE(!batch.document_ids.defined() || batch.document_ids.sizes() == batch.tokens.sizes());
    return batch.document_ids.defined();
  };
  EXPECT_FALSE(has_documents({}));
  EXPECT_FALSE(has_documents({"phase.two.objective={kind = \"prefix_lm\"}"}));
  EXPECT_TRUE(has_documents({"train.separate_documents=true"}));
  EXPECT_TRUE(has_documents({"phase.two.objective=" + seen}));
  EXPECT_TRUE(has_documents({"phase.two.data=[{name = \"b\", path = \"/data/b\", objective = " + seen + "}]"}));
}

TEST(TimeSteps, StopsAfterTheTimeButNotBeforeItsLeastSteps) {
  const auto config = testing::tiny_config("/data");
  const auto times = time_steps(
      config,
      {.n_steps = 1000000, .real_data = false, .phase = "", .device = "cpu", .max_seconds = 1e-9, .least_steps = 5});
  ASSERT_EQ(times.seconds.size(), 5u);
  EXPECT_GT(times.cpu_seconds, 0);
  EXPECT_LT(times.cpu_seconds, 10);
  EXPECT_GE(times.core_wait_seconds.value_or(0), 0);
  EXPECT_TRUE(std::is_sorted(times.seconds.begin(), times.seconds.end()));
  EXPECT_EQ(times.median(), times.seconds[2]);
  EXPECT_EQ(times.n_mri, 2 * 5);  // two layers
  EXPECT_EQ(times.evaluation_seconds, 0);
  const double seconds =
      time_steps(config, {.n_steps = 1, .device = "cpu", .with_evaluation = true}).evaluation_seconds;
  EXPECT_GT(seconds, 0);
  EXPECT_LT(seconds, 1);  // it takes some milliseconds
  StepTimes four;
  four.seconds = {1, 2, 4, 9};
  EXPECT_EQ(four.median(), 3.0);
}

TEST(Bench, RefusesAPhaseWithoutTheDataThatAreAskedFor) {
  auto recipe = testing::tiny_recipe("/data");
  recipe.find("phase")->list()[0].erase("data");
  EXPECT_THAT(testing::message_of<ConfigError>([&] { read_run_config(recipe); }),
              ::testing::HasSubstr("phase 'one' without sources"));
  const auto config = read_run_config(recipe, DataNeed::optional);
  EXPECT_THAT(testing::message_of<ConfigError>([&] { bench(config, {.real_data = true}); }),
              ::testing::HasSubstr("got --real-data with phase 'one', which has no data; need "));
  EXPECT_THAT(testing::message_of<ConfigError>([&] { bench(config, {.phase = "two"}); }),
              ::testing::StartsWith("--phase: got 'two' without --real-data; need "));
  EXPECT_EQ(time_steps(config, {.n_steps = 1, .device = "cpu"}).seconds.size(), 1u);
  recipe.erase("phase");
  const auto none = read_run_config(recipe, DataNeed::optional);
  EXPECT_THAT(testing::message_of<ConfigError>([&] { bench(none, {.real_data = true}); }),
              ::testing::StartsWith("--real-data: got a recipe without a [[phase]]; need "));
  EXPECT_EQ(time_steps(none, {.n_steps = 1, .device = "cpu"}).seconds.size(), 1u);
}

TEST(Bench, RefusesAModelThatCannotFitBeforeAllocation) {
  const auto config =
      testing::tiny_config("/data", {"model.vocab_size=2000000000", "model.d_model=65536", "model.d_expert=65536"});
  EXPECT_THAT(testing::message_of<ConfigError>([&] { bench(config, {}); }),
              ::testing::StartsWith("bench: got a model that takes about"));
}

}  // namespace
}  // namespace evenkeel::train
