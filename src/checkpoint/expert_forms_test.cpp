#include "checkpoint/expert_forms.h"

#include <cmath>
#include <numeric>
#include <set>

#include <ATen/ops/arange.h>
#include <ATen/ops/std.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "ops/noise.h"
#include "support/gradients.h"

namespace evenkeel::checkpoint {
namespace {

using testing::expect_close;
using testing::integers_of;
using testing::read_golden;
using testing::same_bits;
using testing::tensor_of;

ExpertChange change_of(const Json& expert) {
  return {*value_named<UpcycleMethod>(expert.at("method").as_string()), expert.at("ratio").as_double(),
          *value_named<ChangedRows>(expert.at("rows").as_string()), static_cast<uint64_t>(expert.at("seed").as_int())};
}

TEST(ExpertForms, AreThoseOfTheGoldenFile) {
  const auto golden = read_golden("upcycle.json");
  const auto all = tensor_of(golden.inputs.at("gate_up")), down = tensor_of(golden.inputs.at("down"));
  size_t n_drawn = 0;
  for (const auto& expert : golden.outputs.at("experts").as_array()) {
    const std::string what = expert.dump().substr(0, 120);
    const auto change = change_of(expert);
    const ExpertPlace place{expert.at("layer").as_int(), expert.at("expert").as_int()};
    const int64_t g = expert.at("g").as_int(), n_blocks = expert.at("blocks").as_int(), shard = place.expert % g;
    const auto gate_up = all.narrow(0, 0, n_blocks * down.size(1));
    const auto own = changed_gate_up(shard_of_gate_up(gate_up, n_blocks, shard, g), n_blocks, change, place);
    expect_close(own, tensor_of(expert.at("gate_up")), golden.rtol, golden.atol, what + " gate_up");
    expect_close(changed_down(shard_of_down(down, shard, g), change, place), tensor_of(expert.at("down")), golden.rtol,
                 golden.atol, what + " down");
    const Json* order = expert.find("order");
    if (order == nullptr) continue;
    ++n_drawn;
    const int64_t inner = down.size(1) / g;
    EXPECT_EQ(expert_permutation(change, place, inner), integers_of(*order)) << what;
    for (const char* matrix : {"0", "down"})
      EXPECT_EQ(changed_features(change, place, matrix, inner), integers_of(expert.at("features").at(matrix))) << what;
  }
  EXPECT_EQ(n_drawn, 10U);
}

TEST(ExpertForms, ScaleAsMegatronDoes) {
  const auto golden = read_golden("upcycle.json");
  for (const auto& row : golden.outputs.at("multipliers").as_array()) {
    const auto E = row.at("E").as_double(), k = row.at("k").as_double();
    // The weights that a token's experts have in all while all logits are equal.
    const double weights_sum = row.at("softmax") == Json("pre") ? k / E : 1;
    const double scale = upcycle_scale(row.at("g").as_int(), weights_sum);
    expect_close(scale, row.at("scale").as_double(), golden.rtol, golden.atol, row.dump());
    expect_close(upcycle_multiplier(scale, 2), row.at("gated").as_double(), golden.rtol, golden.atol, row.dump());
    expect_close(upcycle_multiplier(scale, 1), row.at("plain").as_double(), golden.rtol, golden.atol, row.dump());
  }
}

TEST(ExpertForms, DrawRoutersAsTheGoldenFileDoes) {
  const auto golden = read_golden("upcycle.json");
  for (const auto& row : golden.outputs.at("routers").as_array()) {
    const auto init = value_named<RouterInit>(row.at("init").as_string());
    ASSERT_TRUE(init.has_value()) << row.dump();
    expect_close(drawn_router(*init, 2, 3, static_cast<uint64_t>(row.at("seed").as_int())), tensor_of(row.at("values")),
                 golden.rtol, golden.atol, row.at("init").as_string());
  }
}

TEST(ExpertForms, OfRoutersHaveTheirMomentsAtSize) {
  // Of n = 64 * 512 draws a mean lies within 5 of its standard errors, a standard deviation too (a uniform's is less).
  const double n = 64 * 512, third = 1 / std::sqrt(12.0);
  const auto expect_moments = [&](RouterInit init, double mean, double std) {
    const auto values = drawn_router(init, 64, 512, 3);
    EXPECT_NEAR(values.mean().item<double>(), mean, 5 * std / std::sqrt(n)) << name_of(init);
    EXPECT_NEAR(at::std(values).item<double>(), std, 5 * std / std::sqrt(2 * n)) << name_of(init);
  };
  expect_moments(RouterInit::torch_rand, 0.5, third);
  expect_moments(RouterInit::torch_rand_mean0, 0, third);
  expect_moments(RouterInit::torch_normal_002, 0, 0.02);
  expect_moments(RouterInit::torch_normal_028, 0, 0.2887);
  expect_moments(RouterInit::torch_rand_002, 0, 0.02);
}

// [b I, H] of one large expert, N(0.5, 0.1).
at::Tensor large_matrix(int64_t rows, int64_t columns) {
  return ops::normal_noise({rows, columns}, 11, at::TensorOptions(at::kDouble)) * 0.1 + 0.5;
}

std::vector<double> sorted_values(const at::Tensor& tensor) {
  const auto flat = tensor.contiguous().view({-1});
  std::vector<double> out(flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel());
  std::sort(out.begin(), out.end());
  return out;
}

TEST(ExpertForms, DropDrawsTheShareAnewWithMeanAndSpreadOfWhatItReplaces) {
  const int64_t inner = 400, width = 50, n_changed = 120;  // r = 0.3
  const auto gate_up = large_matrix(2 * inner, width);
  const ExpertChange change{UpcycleMethod::drop, 0.3, ChangedRows::each, 4};
  const ExpertPlace place{2, 5};
  const auto out = changed_gate_up(gate_up, 2, change, place);
  const auto order = expert_permutation(change, place, inner);
  for (int64_t block = 0; block < 2; ++block) {
    const auto features = changed_features(change, place, std::to_string(block), inner);
    const std::set<int64_t> changed(features.begin(), features.end());
    ASSERT_EQ(changed.size(), static_cast<size_t>(n_changed));
    for (int64_t i = 0; i < inner; ++i) {
      const auto row = out[block * inner + i], was = gate_up[block * inner + order[static_cast<size_t>(i)]];
      EXPECT_EQ(same_bits(row, was), !changed.contains(i)) << "block " << block << " feature " << i;
    }
    const auto new_rows =
        out.narrow(0, block * inner, inner).index_select(0, at::tensor(features, at::TensorOptions(at::kLong)));
    // 6,000 draws: within 5 standard errors, of the draws and of the statistics that they were made with.
    EXPECT_NEAR(new_rows.mean().item<double>(), 0.5, 10 * 0.1 / std::sqrt(6000.0));
    EXPECT_NEAR(at::std(new_rows).item<double>(), 0.1, 10 * 0.1 / std::sqrt(12000.0));
  }
  EXPECT_NE(changed_features(change, place, "0", inner), changed_features(change, place, "1", inner));
  auto shared = change;
  shared.rows = ChangedRows::shared;
  EXPECT_EQ(changed_features(shared, place, "0", inner), changed_features(shared, place, "down", inner));
}

TEST(ExpertForms, NoiseAddsToTheShareAlone) {
  const auto down = large_matrix(30, 200);  // [H, I]
  const ExpertChange change{UpcycleMethod::noise, 0.5, ChangedRows::each, 1};
  const auto order = expert_permutation(change, {0, 0}, 200);
  const auto difference =
      changed_down(down, change, {0, 0}) - down.index_select(1, at::tensor(order, at::TensorOptions(at::kLong)));
  const auto features = changed_features(change, {0, 0}, "down", 200);
  const auto added = difference.index_select(1, at::tensor(features, at::TensorOptions(at::kLong)));
  EXPECT_EQ(difference.ne(0).sum().item<int64_t>(), 30 * 100);
  EXPECT_NEAR(at::std(added).item<double>(), 0.02, 5 * 0.02 / std::sqrt(6000.0));  // 3,000 draws
}

TEST(ExpertForms, WithoutAShareHaveTheSameFunctionInAnotherOrder) {
  const auto gate_up = large_matrix(2 * 40, 6), down = large_matrix(6, 40);
  const ExpertChange change{UpcycleMethod::drop, 0, ChangedRows::each, 1};
  const auto new_gate_up = changed_gate_up(gate_up, 2, change, {1, 2}), new_down = changed_down(down, change, {1, 2});
  EXPECT_FALSE(same_bits(new_gate_up, gate_up));
  EXPECT_EQ(sorted_values(new_gate_up), sorted_values(gate_up));
  // The product of the two up to the order of its sum: the features of both have the same order.
  const auto product = [](const at::Tensor& a, const at::Tensor& b) { return b.matmul(a.narrow(0, 40, 40)); };
  expect_close(product(new_gate_up, new_down), product(gate_up, down), 1e-12, 0, "down times up");
}

TEST(ExpertForms, DifferByExpertLayerAndSeed) {
  const auto gate_up = large_matrix(2 * 20, 4);
  std::vector<at::Tensor> all;
  for (const uint64_t seed : {1, 2})
    for (const int64_t layer : {0, 1})
      for (const int64_t expert : {0, 1})
        all.push_back(
            changed_gate_up(gate_up, 2, {UpcycleMethod::drop, 0.5, ChangedRows::each, seed}, {layer, expert}));
  for (size_t i = 0; i < all.size(); ++i)
    for (size_t j = 0; j < i; ++j) EXPECT_FALSE(same_bits(all[i], all[j])) << i << " " << j;
}

TEST(ExpertForms, OfABiasFollowItsRows) {
  const auto bias = at::arange(2 * 10, at::kDouble);
  const ExpertChange change{UpcycleMethod::drop, 0.5, ChangedRows::each, 1};
  const auto out = changed_bias(bias, 2, change, {0, 3});
  const auto order = expert_permutation(change, {0, 3}, 10);
  for (int64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(out[i].item<int64_t>(), order[static_cast<size_t>(i)]);
    EXPECT_EQ(out[10 + i].item<int64_t>(), 10 + order[static_cast<size_t>(i)]);
  }
  const auto shard = shard_of_gate_up(bias, 2, 1, 5);  // rows 2, 3 of each block of 10
  EXPECT_EQ(sorted_values(shard), (std::vector<double>{2, 3, 12, 13}));
}

}  // namespace
}  // namespace evenkeel::checkpoint
