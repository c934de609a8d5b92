#include "ops/norm.h"

#include <ATen/Parallel.h>
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
  const auto x = random_tensor({2, 150, 33}, 1),
             weight = random_tensor({33}, 2);  // an odd width, more rows than a block
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
  const auto strided = testing::gradients_of(
      [&](const auto& in) { return (rms_norm(in[0].t(), in[1], 1e-5).t() * c).sum(); }, {x, weight});
  const auto dense = testing::gradients_of(
      [&](const auto& in) { return (rms_norm(in[0].t().contiguous(), in[1], 1e-5) * c.t().contiguous()).sum(); },
      {x, weight});
  expect_close(strided[0], dense[0], 0, 1e-15, "x");
  expect_close(strided[1], dense[1], 1e-15, 1e-15, "weight");
}

TEST(RmsNorm, TakesNoRows) { EXPECT_EQ(rms_norm(at::zeros({0, 4}), at::ones({4}), 1e-5).numel(), 0); }

TEST(RmsNorm, DoesNotDependOnTheNumberOfThreads) {
  const auto x = random_tensor({1000, 64}, 9).to(at::kFloat), weight = random_tensor({64}, 10).to(at::kFloat);
  const auto run = [&](int n_threads) {
    at::set_num_threads(n_threads);
    return testing::gradients_of([](const auto& in) { return (rms_norm(in[0], in[1], 1e-5) * in[0]).sum(); },
                                 {x, weight});
  };
  const int before = at::get_num_threads();
  const auto one = run(1), two = run(2);
  at::set_num_threads(before);
  EXPECT_TRUE(testing::same_bits(one[0], two[0]));
  EXPECT_TRUE(testing::same_bits(one[1], two[1]));
}

}  // namespace
}  // namespace evenkeel::ops
