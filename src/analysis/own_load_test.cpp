#include "analysis/own_load.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "analysis/id_stats.h"

namespace evenkeel::analysis {
namespace {

using Counts = std::vector<int64_t>;

TEST(OwnLoad, AgreementByHand) {
  EXPECT_DOUBLE_EQ(load_agreement(Counts{3, 1}, Counts{3, 1}), 0.625);  // 9/16 + 1/16
  EXPECT_DOUBLE_EQ(load_agreement(Counts{3, 1}, Counts{0, 2}), 0.25);
  EXPECT_DOUBLE_EQ(load_agreement(Counts(8, 5), Counts(8, 5)), 0.125);
  EXPECT_DOUBLE_EQ(load_agreement(Counts{0, 7}, Counts{0, 7}), 1.0);
}

TEST(OwnLoad, StdIsTheUniformOneForAnEvenLoad) {
  for (const int64_t n : {1, 7, 300})
    for (const int64_t k : {1, 3, 8})
      EXPECT_NEAR(load_share_std(n, k, Counts(8, 30)), uniform_share_std(n, 8, k), 1e-15) << n << " " << k;
}

TEST(OwnLoad, StdByHand) {
  // Shares 3/4 and 1/4. Two tokens: 1/2 apart from even with 10 of 16, else even: mean square 10/16 * 1/4.
  EXPECT_DOUBLE_EQ(load_share_std(2, 1, Counts{3, 1}), std::sqrt(10.0 / 64));
  // Every token has experts 0 and 1 of four: always 1/2, 1/2, 0, 0.
  EXPECT_DOUBLE_EQ(load_share_std(5, 2, Counts{9, 9, 0, 0}), 0.25);
}

TEST(OwnLoad, OverlapByHand) {
  // One token each: the chance that both choose the same.
  EXPECT_NEAR(load_share_overlap({1, 1}, Counts{3, 1}, Counts{3, 1}), 0.625, 1e-14);
  // Two tokens each at 3/4: X of 0, 1, 2 with 1, 6, 9 of 16; |X - Y| / 2 is 1/2 with 2 * (6 + 54) and 1 with 18 of 256.
  EXPECT_NEAR(load_share_overlap({2, 1}, Counts{3, 1}, Counts{3, 1}), 1 - (120 * 0.5 + 18) / 256, 1e-14);
  EXPECT_DOUBLE_EQ(load_share_overlap({4, 1}, Counts{5, 0}, Counts{5, 0}), 1.0);
  EXPECT_DOUBLE_EQ(load_share_overlap({4, 1}, Counts{5, 0}, Counts{0, 5}), 0.0);
  EXPECT_NEAR(load_share_overlap({10, 2}, Counts(8, 3), Counts(8, 3)), uniform_share_overlap(10, 10, 8, 2), 1e-12);
}

TEST(OwnLoad, FavouriteByHand) {
  LoadFavourite even(Counts{2, 2}), uneven(Counts{3, 1}), single(Counts{0, 9, 0});
  EXPECT_DOUBLE_EQ(uneven.mean_max_share(1), 1.0);
  EXPECT_NEAR(even.mean_max_share(2), 0.75, 4 * 0.25 / std::sqrt(4096.0));
  // Both the same with 10 of 16.
  EXPECT_NEAR(uneven.mean_max_share(2), 13.0 / 16, 4 * 0.25 / std::sqrt(4096.0));
  EXPECT_NEAR(uneven.mean_max_share(100'000), 0.75, 4 * std::sqrt(0.1875 / 100'000));
  EXPECT_DOUBLE_EQ(single.mean_max_share(50), 1.0);
  EXPECT_DOUBLE_EQ(uneven.mean_max_share(2), LoadFavourite(Counts{3, 1}).mean_max_share(2));
}

TEST(OwnLoad, FavouriteIsTheUniformOneForAnEvenLoad) {
  LoadFavourite levels(Counts(16, 40));
  const auto exact = exact_mean_max_share(16, 60);
  for (const int64_t n : {3, 10, 60})
    EXPECT_NEAR(levels.mean_max_share(n), exact[static_cast<size_t>(n - 1)], 0.008) << n;
}

}  // namespace
}  // namespace evenkeel::analysis
