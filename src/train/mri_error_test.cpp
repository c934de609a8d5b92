#include "train/mri_error.h"

#include <cmath>

#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "support/made_run.h"

namespace evenkeel::train {
namespace {

// Two experts, one a token; `experts` of the tokens in order.
moe::RoutingDecision decision(const std::vector<int64_t>& experts, int64_t layer = 0) {
  moe::RoutingDecision out;
  out.layer = layer;
  out.n_experts = 2;
  out.top_k = 1;
  out.n_tokens = static_cast<int64_t>(experts.size());
  out.token_ids = at::arange(out.n_tokens);
  out.expert_ids = at::tensor(experts);
  return out;
}

// 100 windows of 4 tokens, of which 4 or 2 go to expert 0 in turn: the mean over windows of a share of 1 or 0.5, with a
// standard error of 0.25 * sqrt(100 / 99) / sqrt(100).
TEST(MriBootstrap, IsTheErrorOfAMeanOverWindows) {
  MriBootstrap mri;
  for (int64_t window = 0; window < 100; ++window)
    mri.add({decision(window % 2 == 0 ? std::vector<int64_t>{0, 0, 0, 0} : std::vector<int64_t>{0, 0, 1, 1})},
            std::vector<int64_t>(4, window));
  ASSERT_TRUE(mri.of_mean());
  EXPECT_NEAR(*mri.of_mean(), 0.025 * std::sqrt(100.0 / 99),
              0.15 * 0.025);  // three times the 5 % to which 200 replicates know it
  EXPECT_EQ(mri.of_layers().at(0), mri.of_mean());
}

// Tokens of one window are alike here: taken one by one they would seem four times as many.
TEST(MriBootstrap, DoesNotDependOnTheCutIntoBatches) {
  std::vector<int64_t> experts, clusters;
  for (int64_t window = 0; window < 30; ++window)
    for (int64_t t = 0; t < 4; ++t) {
      experts.push_back(window % 3 == 0 ? 1 : 0);
      clusters.push_back(window);
    }
  const auto part = [](const std::vector<int64_t>& values, size_t begin, size_t end) {
    return std::vector<int64_t>(values.begin() + static_cast<std::ptrdiff_t>(begin),
                                values.begin() + static_cast<std::ptrdiff_t>(end));
  };
  MriBootstrap whole, parts;
  whole.add({decision(experts)}, clusters);
  for (const auto& [begin, end] : {std::pair(0, 6), std::pair(6, 50), std::pair(50, 120)})  // within windows 1 and 12
    parts.add({decision(part(experts, begin, end))}, part(clusters, begin, end));
  ASSERT_TRUE(whole.of_mean());
  EXPECT_EQ(whole.of_mean(), parts.of_mean());
}

// The layers' imbalances are opposite, so that their mean is the same in every window.
TEST(MriBootstrap, OfTheMeanOverLayersIsNotThatOfOneLayer) {
  MriBootstrap mri;
  for (int64_t window = 0; window < 40; ++window) {
    const std::vector<int64_t> all = {0, 0, 0, 0}, half = {0, 0, 1, 1};
    mri.add({decision(window % 2 == 0 ? all : half, 0), decision(window % 2 == 0 ? half : all, 1)},
            std::vector<int64_t>(4, window));
  }
  EXPECT_NEAR(mri.of_mean().value(), 0, 1e-12);
  EXPECT_GT(mri.of_layers().at(1).value(), 0.02);
}

TEST(MriBootstrap, PaddingIsLeftOut) {
  MriBootstrap plain, padded;
  for (int64_t window = 0; window < 10; ++window) {
    const int64_t expert = window % 3 == 0 ? 1 : 0;
    plain.add({decision({expert, 0})}, {window, window});
    auto with_padding = decision({expert, 0, 1});
    with_padding.is_padding = at::tensor({0, 0, 1}).to(at::kBool);
    padded.add({with_padding}, {window, window, window});
  }
  EXPECT_EQ(plain.of_mean().value(), padded.of_mean().value());
}

TEST(MriBootstrap, FewWindowsAndDenseModelsHaveNone) {
  MriBootstrap few, dense;
  for (int64_t window = 0; window < 3; ++window) few.add({decision({0, 1})}, {window, window});
  EXPECT_FALSE(few.of_mean());
  EXPECT_FALSE(few.of_layers().at(0));
  dense.add({}, {0, 0});
  EXPECT_FALSE(dense.of_mean());
  EXPECT_TRUE(dense.of_layers().empty());
}

TEST(MriError, IsThatOfTheLastPhase) {
  Arm arm;
  arm.resolved = run_config_json(testing::tiny_config("/data"));
  const auto line = [](int64_t step, const std::string& phase, std::optional<double> se) {
    auto result = testing::made_result(2.0, {0.5, 0.75});
    result.mri_se = se;
    return testing::made_evaluation(step, phase, {{"b", result}});
  };
  arm.evaluations = {line(6, "one", 0.5), line(8, "two", 0.25), line(10, "two", 0.125)};
  EXPECT_EQ(mri_se_at_end(arm, "b"), 0.125);
  EXPECT_FALSE(mri_se_at_end(arm, "a"));
  arm.evaluations.push_back(line(12, "two", std::nullopt));
  EXPECT_FALSE(mri_se_at_end(arm, "b"));
  arm.evaluations = {
      testing::made_evaluation(10, "two", {{"b", testing::made_result(2.0, {0.5})}})};  // of before there were errors
  EXPECT_FALSE(mri_se_at_end(arm, "b"));
}

}  // namespace
}  // namespace evenkeel::train
