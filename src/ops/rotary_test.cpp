#include "ops/rotary.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/gradients.h"

namespace evenkeel::ops {
namespace {

using testing::expect_close;
using testing::random_tensor;

RotaryTable table_of(const at::Tensor& positions, const Rotation& rotation) {
  return make_rotary_table(rotation, positions, positions.size(0), at::kDouble);
}

TEST(Rotary, PlainFrequenciesFallGeometrically) {
  const auto frequencies = rotary_frequencies({6, 1000.0}, 8);
  expect_close(frequencies, at::tensor({1.0, 0.1, 0.01}, at::kDouble), 1e-15, 0,
               "1000^(-2j/6)");  // fp64: a logarithm and an exponential
  EXPECT_EQ(rotary_frequencies({0, 1e4}, 8).numel(), 0);
}

TEST(Rotary, TurnsPairsOfHalvesByTheirAngle) {
  // 4 dims of a head of 6 are rotated: angles p * theta^0 and p * theta^(-2/4); pairs (0, 2) and (1, 3).
  const auto table = table_of(at::arange(3, at::kLong), {4, 100.0});
  const auto x = random_tensor({2, 3, 1, 6}, 11);
  const auto y = apply_rotary(x, table);
  const auto at_ = [](const at::Tensor& t, int64_t b, int64_t s, int64_t d) { return t[b][s][0][d].item<double>(); };
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t s = 0; s < 3; ++s)
      for (int64_t j = 0; j < 2; ++j) {
        const double angle = static_cast<double>(s) * (j == 0 ? 1.0 : 0.1);  // 100^(-1/2) = 0.1
        EXPECT_NEAR(at_(y, b, s, j), at_(x, b, s, j) * std::cos(angle) - at_(x, b, s, j + 2) * std::sin(angle), 1e-14);
        EXPECT_NEAR(at_(y, b, s, j + 2), at_(x, b, s, j + 2) * std::cos(angle) + at_(x, b, s, j) * std::sin(angle),
                    1e-14);
        EXPECT_EQ(at_(y, b, s, 4 + j), at_(x, b, s, 4 + j));
      }
}

TEST(Rotary, LeavesScoresToTheDistance) {
  const auto q = random_tensor({1, 1, 1, 8}, 12).expand({1, 40, 1, 8}),
             k = random_tensor({1, 1, 1, 8}, 13).expand({1, 40, 1, 8});
  const auto table = table_of(at::arange(40, at::kLong), {8, 1e4});
  const auto scores = apply_rotary(q, table)[0].squeeze(1).matmul(apply_rotary(k, table)[0].squeeze(1).t());
  EXPECT_NEAR(scores[35][30].item<double>(), scores[5][0].item<double>(), 1e-12);  // both 5 apart; fp64 sums of 8
}

TEST(Rotary, TakesATableOfItsOwnForEachSequence) {
  const auto x = random_tensor({2, 3, 2, 4}, 14);
  const auto positions = at::tensor({0, 1, 2, 0, 0, 1}).to(at::kLong);
  const auto y = apply_rotary(x, table_of(positions, {4, 1e4}));
  const auto plain = apply_rotary(x, table_of(at::arange(3, at::kLong), {4, 1e4}));
  EXPECT_TRUE(testing::same_bits(y[0], plain[0]));
  expect_close(y[1][2],
               apply_rotary(x.narrow(0, 1, 1).narrow(1, 2, 1), table_of(at::ones({1}, at::kLong), {4, 1e4}))[0][0], 0,
               1e-15, "position 1");
  EXPECT_TRUE(testing::same_bits(y[1][1], x[1][1]));  // position 0 turns nothing
}

// Pairs (0, 1) and (2, 3) of a head of 6: the same as the halves of a head whose features are put in that order.
TEST(Rotary, TurnsInterleavedPairsInPlace) {
  const auto x = random_tensor({2, 3, 2, 6}, 16), order = at::tensor({0, 2, 1, 3, 4, 5}, at::kLong);
  const auto positions = at::arange(3, at::kLong);
  const auto got = apply_rotary(x, table_of(positions, {4, 100.0, RotaryPairs::interleaved}));
  const auto need = apply_rotary(x.index_select(3, order), table_of(positions, {4, 100.0})).index_select(3, order);
  EXPECT_TRUE(testing::same_bits(got, need));  // the order is its own inverse
  const auto whole = apply_rotary(x, table_of(positions, {6, 100.0, RotaryPairs::interleaved}));
  EXPECT_EQ(whole.sizes(), x.sizes());
}

TEST(Rotary, MultipliesCosineAndSineByTheAttentionFactor) {
  const YarnScaling yarn{.factor = 4, .original_length = 16, .attention_factor = 1.5};
  const auto positions = at::arange(3, at::kLong);
  auto plain = yarn;
  plain.attention_factor = 1;
  const auto scaled = table_of(positions, {8, 1e4, RotaryPairs::halves, yarn}),
             unscaled = table_of(positions, {8, 1e4, RotaryPairs::halves, plain});
  EXPECT_TRUE(testing::same_bits(scaled.cosine, unscaled.cosine * 1.5));
  EXPECT_TRUE(testing::same_bits(scaled.sine, unscaled.sine * 1.5));
}

TEST(Rotary, LeavesHeadsAloneWithoutRotaryDims) {
  const auto x = random_tensor({1, 2, 1, 4}, 15);
  EXPECT_TRUE(testing::same_bits(apply_rotary(x, table_of(at::arange(2, at::kLong), {0, 1e4})), x));
}

}  // namespace
}  // namespace evenkeel::ops
