#include "train/phase_figures.h"

#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/rng.h"
#include "support/made_lines.h"

namespace evenkeel::train {
namespace {

using ::testing::ElementsAre;

TEST(MriColumns, AreTheMeanThenEachLayer) {
  EXPECT_THAT(mri_columns(testing::made_routing({0.5, 0.7})), ElementsAre(0.6, 0.5, 0.7));
  EXPECT_THAT(mri_columns({}), ElementsAre(0));
}

// The same figures from all steps at once, as docs/formats.md defines them.
ShiftFigures by_hand(const std::vector<double>& curve, double before) {
  const auto mean = [&](size_t begin, size_t end) {
    double sum = 0;
    for (size_t i = begin; i < end; ++i) sum += curve[i];
    return sum / static_cast<double>(end - begin);
  };
  ShiftFigures out;
  const size_t window = std::min<size_t>(50, curve.size()), eighth = std::max<size_t>(1, (curve.size() + 4) / 8);
  const auto peak = static_cast<size_t>(
      std::max_element(curve.begin(), curve.begin() + static_cast<std::ptrdiff_t>(window)) - curve.begin());
  out.first = curve[0];
  out.peak = curve[peak];
  out.peak_step = static_cast<int64_t>(peak) + 1;
  for (size_t i = std::max<size_t>(peak + 1, 4); i < curve.size() && !out.steps_to_recover; ++i)
    if (mean(i - 4, i + 1) <= 1.1 * before) out.steps_to_recover = static_cast<int64_t>(i) + 1;
  out.after = mean(curve.size() - eighth, curve.size());
  return out;
}

// Curves that fall from a peak, some within the first 50 steps, some after them and some never, at lengths around every
// border.
TEST(PhaseFigures, StepByStepAreThoseOfAllStepsAtOnce) {
  RngStream rng(7, "curves");
  int n_late = 0, n_never = 0, n_early = 0;
  for (const size_t length : {1, 3, 4, 5, 6, 12, 49, 50, 51, 52, 54, 55, 56, 200}) {
    for (int trial = 0; trial < 30; ++trial) {
      std::vector<double> curve;
      const double decay = 0.8 + 0.2 * rng.uniform();
      for (size_t i = 0; i < length; ++i)
        curve.push_back(0.5 + 0.4 * std::pow(decay, static_cast<double>(i)) + 0.02 * rng.uniform());
      PhaseFigures phase;
      phase.begin({0.5, std::nullopt});
      for (size_t i = 0; i < length; ++i) phase.add(testing::made_step(static_cast<int64_t>(i) + 1, "a", {curve[i]}));
      const auto now = phase.shift(0), want = by_hand(curve, 0.5);
      EXPECT_EQ(now.first, want.first);
      EXPECT_EQ(now.peak, want.peak);
      EXPECT_EQ(now.peak_step, want.peak_step);
      EXPECT_EQ(now.steps_to_recover, want.steps_to_recover) << length;
      EXPECT_EQ(now.after, want.after);
      EXPECT_EQ(phase.shift(1).steps_to_recover, std::nullopt);  // of a layer whose MRI before is not known
      (!want.steps_to_recover ? n_never : *want.steps_to_recover > 50 ? n_late : n_early) += 1;
    }
  }
  EXPECT_GT(n_early, 20);
  EXPECT_GT(n_late, 5);
  EXPECT_GT(n_never, 20);
}

TEST(PhaseFigures, CountStepsSecondsAndDrops) {
  PhaseFigures phase;
  EXPECT_EQ(phase.n_steps(), 0);
  EXPECT_EQ(phase.mean_dropped(), std::nullopt);
  for (int64_t step = 11; step <= 26; ++step) {
    auto row = testing::made_step(step, "a", {0.5, 0.5}, 0.25);
    row.routing[0].dropped = step > 24 ? 0.5 : 0.25;
    row.routing[1].dropped = 1;
    phase.add(row);
  }
  EXPECT_EQ(phase.n_steps(), 16);
  EXPECT_EQ(phase.first_step(), 11);
  EXPECT_EQ(phase.last_step(), 26);
  EXPECT_EQ(phase.seconds(), 4);
  EXPECT_THAT(phase.layers(), ElementsAre(0, 1));
  EXPECT_THAT(phase.dropped_at_end(), ElementsAre(0.5, 1));  // of the last two of 16
  EXPECT_EQ(phase.mean_dropped(), (14 * 0.25 + 2 * 0.5 + 16) / 32);
}

TEST(PhaseFigures, OfADenseModelHaveNoLayers) {
  PhaseFigures phase;
  phase.add(testing::made_step(1, "a", {}));
  EXPECT_TRUE(phase.layers().empty());
  EXPECT_TRUE(phase.dropped_at_end().empty());
  EXPECT_EQ(phase.n_steps(), 1);
}

}  // namespace
}  // namespace evenkeel::train
