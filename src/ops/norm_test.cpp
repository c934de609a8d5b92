#include "ops/norm.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/gradients.h"

namespace evenkeel::ops {
namespace {

using testing::expect_close;
using testing::random_tensor;

TEST(RmsNorm, DividesByTheRootMeanSquare) {
  // mean of squares of (3, 4, 0, 0) = 6.25, its root 2.5
  const auto out = rms_norm(at::tensor({3.0, 4.0, 0.0, 0.0}).unsqueeze(0), at::tensor({1.0, 10.0, 1.0, 1.0}), 0.0);
  expect_close(out[0], at::tensor({1.2, 16.0, 0.0, 0.0}), 1e-15, 0, "row");  // fp64: a few roundings
  const auto zero = rms_norm(at::zeros({1, 4}), at::ones({4}), 1e-5);
  EXPECT_EQ(zero.abs().max().item<double>(), 0.0);  // eps keeps the zero row finite
}

TEST(RmsNorm, FollowsTheFormulaInFp32AndFp64) {
  const auto x = random_tensor({2, 150, 33}, 1), weight = random_tensor({33}, 2);  // an odd width, more rows than a block
  const auto need = x * at::rsqrt((x * x).mean(-1, true) + 1e-5) * weight;
  expect_close(rms_norm(x, weight, 1e-5), need, 1e-14, 1e-14, "fp64");
  // fp32: a sum of 33 squares and three products, each to 6e-8
  expect_close(rms_norm(x.to(at::kFloat), weight.to(at::kFloat), 1e-5), need, 1e-6, 1e-6, "fp32");
}

TEST(RmsNorm, GradientsMatchFiniteDifferences) {
  const auto c = random_tensor({3, 5}, 7);
  testing::expect_gradients([&](const auto& in) { return (rms_norm(in[0], in[1], 1e-3) * c).sum(); },
                            {random_tensor({3, 5}, 3), random_tensor({5}, 4)});
}

TEST(RmsNorm, TakesStridedInputAndGradient) {
  const auto x = random_tensor({5, 8}, 5), weight = random_tensor({5}, 6), c = random_tensor({5, 8}, 8);
  const auto strided = testing::gradients_of([&](const auto& in) { return (rms_norm(in[0].t(), in[1], 1e-5).t() * c).sum(); }, {x, weight});
  const auto dense = testing::gradients_of(
      [&](const auto& in) { return (rms_norm(in[0].t().contiguous(), in[1], 1e-5) * c.t().contiguous()).sum(); }, {x, weight});
  expect_close(strided[0], dense[0], 0, 1e-15, "x");
  expect_close(strided[1], dense[1], 1e-15, 1e-15, "weight");
}

TEST(RmsNorm, TakesNoRows) { EXPECT_EQ(rms_norm(at::zeros({0, 4}), at::ones({4}), 1e-5).numel(), 0); }

TEST(RmsNorm, DoesNotDependOnTheNumberOfThreads) {
  const auto x = random_tensor({1000, 64}, 9).to(at::kFloat), weight = random_tensor({64}, 10).to(at::kFloat);
  const auto run = [&](int n_threads) {
    at::set_num_threads(n_threads);
    return testing::gradients_of([](const auto& in) { return (rms_norm(in[0], in[1], 1e-5) * in[0]).sum(); }, {x, weight});
  };
  const int before = at::get_num_threads();
  const auto one = run(1), two = run(2);
  at::set_num_threads(before);
  EXPECT_TRUE(testing::same_bits(one[0], two[0]));
  EXPECT_TRUE(testing::same_bits(one[1], two[1]));
}

TEST(Rotary, TurnsPairsOfHalvesByTheirAngle) {
  // 4 dims of a head of 6 are rotated: angles p * theta^0 and p * theta^(-2/4); pairs (0, 2) and (1, 3).
  const auto table = make_rotary_table(at::arange(3, at::kLong), 4, 100.0, at::kDouble);
  const auto x = random_tensor({2, 3, 1, 6}, 11);
  const auto y = apply_rotary(x, table);
  const auto at_ = [](const at::Tensor& t, int64_t b, int64_t s, int64_t d) { return t[b][s][0][d].item<double>(); };
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t s = 0; s < 3; ++s)
      for (int64_t j = 0; j < 2; ++j) {
        const double angle = static_cast<double>(s) * (j == 0 ? 1.0 : 0.1);  // 100^(-1/2) = 0.1
        EXPECT_NEAR(at_(y, b, s, j), at_(x, b, s, j) * std::cos(angle) - at_(x, b, s, j + 2) * std::sin(angle), 1e-14);
        EXPECT_NEAR(at_(y, b, s, j + 2), at_(x, b, s, j + 2) * std::cos(angle) + at_(x, b, s, j) * std::sin(angle), 1e-14);
        EXPECT_EQ(at_(y, b, s, 4 + j), at_(x, b, s, 4 + j));
      }
}

TEST(Rotary, LeavesScoresToTheDistance) {
  const auto q = random_tensor({1, 1, 1, 8}, 12).expand({1, 40, 1, 8}), k = random_tensor({1, 1, 1, 8}, 13).expand({1, 40, 1, 8});
  const auto table = make_rotary_table(at::arange(40, at::kLong), 8, 1e4, at::kDouble);
  const auto scores = apply_rotary(q, table)[0].squeeze(1).matmul(apply_rotary(k, table)[0].squeeze(1).t());
  EXPECT_NEAR(scores[35][30].item<double>(), scores[5][0].item<double>(), 1e-12);  // both 5 apart; fp64 sums of 8
}

TEST(Rotary, TakesATableOfItsOwnForEachSequence) {
  const auto x = random_tensor({2, 3, 2, 4}, 14);
  const auto positions = at::tensor({0, 1, 2, 0, 0, 1}).to(at::kLong);
  const auto y = apply_rotary(x, make_rotary_table(positions, 4, 1e4, at::kDouble));
  const auto plain = apply_rotary(x, make_rotary_table(at::arange(3, at::kLong), 4, 1e4, at::kDouble));
  EXPECT_TRUE(testing::same_bits(y[0], plain[0]));
  expect_close(y[1][2], apply_rotary(x.narrow(0, 1, 1).narrow(1, 2, 1), make_rotary_table(at::ones({1}, at::kLong), 4, 1e4, at::kDouble))[0][0], 0, 1e-15, "position 1");
  EXPECT_TRUE(testing::same_bits(y[1][1], x[1][1]));  // position 0 turns nothing
}

TEST(Rotary, LeavesHeadsAloneWithoutRotaryDims) {
  const auto x = random_tensor({1, 2, 1, 4}, 15);
  EXPECT_TRUE(testing::same_bits(apply_rotary(x, make_rotary_table(at::arange(2, at::kLong), 0, 1e4, at::kDouble)), x));
}

}  // namespace
}  // namespace evenkeel::ops
