#include "ops/row_order.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "support/gradients.h"

namespace evenkeel::ops {
namespace {

using testing::same_bits;

TEST(RowOrder, TheLargestOfEachRowComesFirst) {
  const auto rows = at::tensor({0, 0, 0, 2, 3, 3}, at::kLong);
  const auto values = at::tensor({1.0, 3.0, 2.0, 9.0, -1.0, 5.0}, at::kFloat);
  EXPECT_TRUE(same_bits(falling_within_rows(rows, values), at::tensor({1, 2, 0, 3, 5, 4}, at::kLong)));
}

TEST(RowOrder, EqualValuesKeepTheirOrder) {
  const auto rows = at::tensor({0, 0, 0, 0, 1, 1}, at::kLong);
  const auto values = at::tensor({2.0, 7.0, 2.0, 7.0, 0.0, 0.0}, at::kDouble);
  EXPECT_TRUE(same_bits(falling_within_rows(rows, values), at::tensor({1, 3, 0, 2, 4, 5}, at::kLong)));
}

TEST(RowOrder, NothingGivesNothing) {
  const auto none = at::empty({0}, at::kLong);
  EXPECT_EQ(falling_within_rows(none, at::empty({0}, at::kFloat)).size(0), 0);
}

// Two stable sorts, the way of other devices, give the same.
TEST(RowOrder, IsThatOfTwoStableSorts) {
  // Rows of 0 to some 20 values, and one of 100; many equal ones.
  const auto rows = at::cat({std::get<0>(at::sort(testing::random_ids(500, 60, 1))), at::full({100}, 60, at::kLong)});
  const auto values = testing::random_ids(600, 8, 2).to(at::kFloat);
  const auto by_value = std::get<1>(at::sort(values, /*stable=*/true, 0, /*descending=*/true));
  const auto need = by_value.index_select(
      0, std::get<1>(at::sort(rows.index_select(0, by_value), /*stable=*/true, 0, /*descending=*/false)));
  EXPECT_TRUE(same_bits(falling_within_rows(rows, values), need));
}

}  // namespace
}  // namespace evenkeel::ops
