#include "ops/top_k.h"

#include <limits>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "support/gradients.h"

namespace evenkeel::ops {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

std::vector<int64_t> top_k_of(std::vector<double> row, int64_t k, at::ScalarType dtype = at::kFloat) {
  const auto ids = top_k_ids(at::tensor(row).to(dtype).unsqueeze(0), k);
  return {ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + ids.numel()};
}
using Ids = std::vector<int64_t>;

TEST(TopK, OrdersBestFirst) {
  for (const auto dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    EXPECT_EQ(top_k_of({1, 4, 3, 2}, 3, dtype), (Ids{1, 2, 3}));
    EXPECT_EQ(top_k_of({1, 4, 3, 2}, 4, dtype), (Ids{1, 2, 3, 0}));  // k = E
  }
  EXPECT_EQ(top_k_of({7}, 1), (Ids{0}));
}

TEST(TopK, GivesTiesToTheLowerId) {
  EXPECT_EQ(top_k_of({2, 5, 5, 5}, 2), (Ids{1, 2}));
  EXPECT_EQ(top_k_of({0, 0, 0, 0}, 4), (Ids{0, 1, 2, 3}));
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    EXPECT_EQ(top_k_of({0.0, -0.0}, 2, dtype), (Ids{0, 1}));
    EXPECT_EQ(top_k_of({-0.0, 0.0, -1e-45}, 3, dtype), (Ids{0, 1, 2}));
  }
  EXPECT_EQ(top_k_of({-kInf, -kInf, -1e30}, 3), (Ids{2, 0, 1}));
}

TEST(TopK, NeverPrefersNanToANumber) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    EXPECT_EQ(top_k_of({kNan, -kInf, 3, kNan}, 4, dtype), (Ids{2, 1, 0, 3}));
    EXPECT_EQ(top_k_of({kNan, kNan}, 2, dtype), (Ids{0, 1}));
    EXPECT_EQ(top_k_of({-kNan, kNan, 1}, 3, dtype), (Ids{2, 0, 1}));
  }
}

TEST(TopK, DistinguishesDoublesThatFloatsCannot) { EXPECT_EQ(top_k_of({1.0, 1.0 + 1e-12}, 1, at::kDouble), (Ids{1})); }

TEST(TopK, TakesNoTokensAndStridedScores) {
  EXPECT_EQ(top_k_ids(at::zeros({0, 4}), 2).sizes(), (at::IntArrayRef{0, 2}));
  const auto scores = testing::random_tensor({5, 700}, 1);  // read through a transpose; over several thread blocks
  const auto ids = top_k_ids(scores.t(), 5);
  EXPECT_TRUE(testing::same_bits(ids, top_k_ids(scores.t().contiguous(), 5)));
  const auto sorted = scores.t().gather(1, ids);
  EXPECT_TRUE(sorted.narrow(1, 0, 4).gt(sorted.narrow(1, 1, 4)).all().item<bool>());
}

TEST(TopK, AddsABiasInTheWiderType) {
  const auto scores = at::tensor({1.0, 2.0, 3.0}).to(at::kFloat).expand({2, 3});
  const auto bias = at::tensor({2.0, 0.5, 0.0}).to(at::kFloat);
  EXPECT_TRUE(testing::same_bits(top_k_ids(scores, 2, bias),
                                 at::tensor({0, 2, 0, 2}).to(at::kLong).view({2, 2})));  // 3, 2.5, 3
  const auto tiny = at::tensor({0.0, 1e-12, 0.0});                                       // fp64: lost in an fp32 sum
  EXPECT_TRUE(
      testing::same_bits(top_k_ids(at::full({1, 3}, 1.0f), 1, tiny), at::tensor({1}).to(at::kLong).view({1, 1})));
  EXPECT_TRUE(
      testing::same_bits(top_k_ids(at::full({1, 3}, 1.0f), 1, tiny.to(at::kFloat)), at::zeros({1, 1}, at::kLong)));
}

TEST(TopK, AgreesWithAStableSort) {
  // Coarse scores: many ties. E above and below k, rows over several thread blocks.
  for (const int64_t n_experts : {1, 2, 7, 64, 130})
    for (const int64_t k : {1, 2, 8, 64}) {
      if (k > n_experts) continue;
      const auto scores = testing::random_tensor({600, n_experts}, static_cast<uint64_t>(n_experts)).mul(2).round();
      const auto order =
          std::get<1>(at::sort(scores, /*stable=*/true, 1, /*descending=*/true)).narrow(1, 0, k).contiguous();
      for (const auto dtype : {at::kFloat, at::kDouble})
        EXPECT_TRUE(testing::same_bits(top_k_ids(scores.to(dtype), k), order)) << n_experts << " choose " << k;
    }
}

TEST(KthLargestOfColumns, IsThatOfTheSortedColumn) {
  const auto hand = at::tensor({3.0, 1.0, 2.0, 2.0, -1.0, 2.0}).view({3, 2});  // columns 3 2 -1 and 1 2 2
  EXPECT_TRUE(testing::same_bits(kth_largest_of_columns(hand, 1), at::tensor({3.0, 2.0})));
  EXPECT_TRUE(testing::same_bits(kth_largest_of_columns(hand, 2), at::tensor({2.0, 2.0})));
  EXPECT_TRUE(testing::same_bits(kth_largest_of_columns(hand, 3), at::tensor({-1.0, 1.0})));
  EXPECT_TRUE(testing::same_bits(hand, at::tensor({3.0, 1.0, 2.0, 2.0, -1.0, 2.0}).view({3, 2})));  // untouched
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const auto values = testing::random_tensor({501, 9}, 2).to(dtype);
    const auto sorted = std::get<0>(at::sort(values, /*stable=*/true, 0, /*descending=*/true));
    for (const int64_t k : {1, 77, 501})
      EXPECT_TRUE(testing::same_bits(kth_largest_of_columns(values, k), sorted[k - 1]));
    EXPECT_TRUE(testing::same_bits(kth_largest_of_columns(values.narrow(0, 0, 1), 1), values[0]));  // a column of one
    const auto equal = at::full({40, 2}, -3.0, dtype);
    EXPECT_TRUE(testing::same_bits(kth_largest_of_columns(equal, 17), equal[0]));
    // Far out: bins that all but one value share, and a range that is not a finite number.
    auto outlier = values.clone();
    outlier[3].fill_(1e30);
    EXPECT_TRUE(
        testing::same_bits(kth_largest_of_columns(outlier, 20), std::get<0>(at::sort(outlier, true, 0, true))[19]));
    outlier[4].fill_(dtype == at::kFloat ? -3e38 : -1.7e308);
    outlier[3].fill_(dtype == at::kFloat ? 3e38 : 1.7e308);
    EXPECT_TRUE(
        testing::same_bits(kth_largest_of_columns(outlier, 20), std::get<0>(at::sort(outlier, true, 0, true))[19]));
  }
}

TEST(AllFinite, SeesOneBadElement) {
  EXPECT_TRUE(all_finite(at::zeros({0})));
  auto values = at::full({1000}, 3e38f);
  EXPECT_TRUE(all_finite(values));
  values[999] = kInf;
  EXPECT_FALSE(all_finite(values));
  values[999] = kNan;
  EXPECT_FALSE(all_finite(values));
}

}  // namespace
}  // namespace evenkeel::ops
