#include "ops/permute.h"

#include <ATen/Parallel.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "support/gradients.h"

namespace evenkeel::ops {
namespace {

at::Tensor ids(std::vector<int64_t> values) { return at::tensor(values, at::kLong); }

TEST(SortByExpert, IsStableAndCounts) {
  const auto sorted = sort_by_expert(ids({0, 0, 1, 1, 3}), ids({2, 0, 2, 0, 3}), 5);
  EXPECT_TRUE(testing::same_bits(sorted.order, ids({1, 3, 0, 2, 4})));
  EXPECT_TRUE(testing::same_bits(sorted.row_tokens, ids({0, 1, 0, 1, 3})));
  EXPECT_EQ(sorted.rows_per_expert, (std::vector<int64_t>{2, 0, 2, 1, 0}));
  EXPECT_EQ(sort_by_expert(ids({}), ids({}), 2).rows_per_expert, (std::vector<int64_t>{0, 0}));
}

TEST(Permute, GivesEachRowItsToken) {
  const auto x = testing::random_tensor({4, 3}, 1);
  const auto sorted = sort_by_expert(ids({0, 0, 1, 1, 3}), ids({2, 0, 2, 0, 3}), 5);
  EXPECT_TRUE(testing::same_bits(permute(x, sorted), x.index_select(0, ids({0, 1, 0, 1, 3}))));
}

TEST(Combine, SumsTheRowsOfATokenAndLeavesOthersAtZero) {
  const auto rows = testing::random_tensor({5, 3}, 2);
  const auto out = combine(rows, sort_by_expert(ids({0, 0, 1, 1, 3}), ids({2, 0, 2, 0, 3}), 5), 4);
  EXPECT_TRUE(testing::same_bits(out[0], rows[2] + rows[0]));  // assignments 0 and 1, in their order
  EXPECT_TRUE(testing::same_bits(out[1], rows[3] + rows[1]));
  EXPECT_TRUE(testing::same_bits(out[2], at::zeros({3}, at::kDouble)));
  EXPECT_TRUE(testing::same_bits(out[3], rows[4]));
}

TEST(Combine, TakesRowsThatAreNotContiguous) {
  const auto rows = testing::random_tensor({3, 5}, 9).t();
  ASSERT_FALSE(rows.is_contiguous());
  const auto sorted = sort_by_expert(ids({0, 0, 1, 1, 3}), ids({2, 0, 2, 0, 3}), 5);
  EXPECT_TRUE(testing::same_bits(combine(rows, sorted, 4), combine(rows.contiguous(), sorted, 4)));
}

TEST(PermuteAndCombine, GradientsMatchFiniteDifferences) {
  const auto sorted = sort_by_expert(ids({0, 0, 1, 1, 3}), ids({2, 0, 2, 0, 3}), 5);
  const auto by_row = testing::random_tensor({5, 3}, 3), by_token = testing::random_tensor({4, 3}, 4);
  testing::expect_gradients([&](const auto& in) { return (permute(in[0], sorted) * by_row).sum(); },
                            {testing::random_tensor({4, 3}, 5)});
  testing::expect_gradients([&](const auto& in) { return (combine(in[0], sorted, 4) * by_token).sum(); },
                            {testing::random_tensor({5, 3}, 6)});
}

TEST(PermuteAndCombine, TakeNoAssignmentsAndNoTokens) {
  for (const int64_t n_tokens : {0, 3}) {
    const auto sorted = sort_by_expert(ids({}), ids({}), 2);
    const auto rows = permute(testing::random_tensor({n_tokens, 4}, 7), sorted);
    EXPECT_EQ(rows.sizes(), (at::IntArrayRef{0, 4}));
    EXPECT_TRUE(testing::same_bits(combine(rows, sorted, n_tokens), at::zeros({n_tokens, 4}, at::kDouble)));
  }
}

// A token's ids as the view of stride 0 that expand gives; what lies behind it in memory is no token.
TEST(PermuteAndCombine, OneTokenMayComeAsAViewOfStrideZero) {
  const auto view = ids({0, 1 << 20, 1 << 20}).narrow(0, 0, 1).expand({2});
  ASSERT_FALSE(view.is_contiguous());
  const auto sorted = sort_by_expert(view, ids({1, 0}), 2);
  const auto x = testing::random_tensor({1, 3}, 8);
  EXPECT_TRUE(testing::same_bits(combine(permute(x, sorted), sorted, 1), x + x));
}

}  // namespace
}  // namespace evenkeel::ops
