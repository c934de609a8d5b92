#include "data/mixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/rng.h"
#include "golden/golden.h"
#include "support/files.h"

namespace evenkeel::data {
namespace {

std::vector<double> doubles_of(const Json& json) {
  std::vector<double> out;
  for (const auto& value : json.as_array()) out.push_back(value.as_double());
  return out;
}

TEST(Mixture, DrawsInTheGoldenOrder) {
  const auto golden = testing::read_golden("mixture.json");
  const auto& shares = golden.inputs.at("shares").as_array();
  for (size_t i = 0; i < shares.size(); ++i) {
    Mixture mixture(doubles_of(shares[i]), "x");
    std::vector<int64_t> picks;
    for (int64_t n = 0; n < golden.inputs.at("draws").as_int(); ++n)
      picks.push_back(static_cast<int64_t>(mixture.next()));
    EXPECT_EQ(picks, testing::integers_of(golden.outputs.at("sources").at(i))) << shares[i].dump();
  }
}

TEST(Mixture, StaysWithinOneOfEveryShare) {
  RngStream rng(1, "shares");
  for (int trial = 0; trial < 60; ++trial) {
    std::vector<double> weights;
    for (uint64_t m = rng.below(8) + 1; m > 0; --m)
      weights.push_back(std::pow(rng.uniform(), 1 + 7 * rng.uniform()) + 1e-6);
    if (trial % 3 == 0) weights.push_back(0);
    Mixture mixture(weights, "x");
    for (int64_t n = 1; n <= 3000; ++n) {
      mixture.next();
      for (size_t i = 0; i < weights.size(); ++i)
        ASSERT_LT(std::abs(static_cast<double>(mixture.counts()[i]) - mixture.shares()[i] * static_cast<double>(n)),
                  1.0)
            << trial << " " << n;
    }
    EXPECT_TRUE(trial % 3 != 0 || mixture.counts().back() == 0);  // weight 0 is never drawn
  }
}

TEST(Mixture, ScalesWeightsToShares) {
  const Mixture mixture({2, 6}, "x");
  EXPECT_EQ(mixture.shares(), (std::vector<double>{0.25, 0.75}));
}

TEST(Mixture, GoesOnFromItsCounts) {
  Mixture whole({0.6, 0.3, 0.1}, "x"), first({0.6, 0.3, 0.1}, "x");
  std::vector<size_t> need, got;
  for (int n = 0; n < 200; ++n) need.push_back(whole.next());
  for (int n = 0; n < 77; ++n) got.push_back(first.next());
  Mixture second({0.6, 0.3, 0.1}, "x");
  second.restore(first.counts());
  for (int n = 77; n < 200; ++n) got.push_back(second.next());
  EXPECT_EQ(got, need);
}

TEST(Mixture, RefusesBadWeightsAndStates) {
  for (const auto& weights : std::vector<std::vector<double>>{{-1, 2}, {0, 0}, {std::nan("")}, {INFINITY}, {}})
    EXPECT_THAT(testing::message_of<ConfigError>([&] { Mixture(weights, "r.toml:4:1"); }),
                ::testing::StartsWith("r.toml:4:1: got weight"));
  Mixture mixture({1, 1}, "x");
  EXPECT_THROW(mixture.restore({1, 2, 3}), CheckpointError);
}

}  // namespace
}  // namespace evenkeel::data
