#include "model/init.h"

#include <ATen/Parallel.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/std.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "model/layout.h"
#include "support/gradients.h"

namespace evenkeel::model {
namespace {

ModelConfig config_of(const std::string& init) {
  return read_model_config(
      parse_toml("vocab_size = 512\nd_model = 128\nn_layers = 2\nn_heads = 4\nd_ff = 256\nn_experts = 4\ntop_k = "
                 "1\nd_expert = 128\n"
                 "moe_layers = [1]\ninit = \"" +
                     init + "\"",
                 "m", ""));
}
double std_of(const at::Tensor& tensor) { return at::std(tensor, /*unbiased=*/false).item<double>(); }

// Means and standard deviations of n >= 16384 samples are within 4 of their own standard errors.
void expect_normal(const ops::Params& params, const std::string& name, double std) {
  const auto& tensor = params.at(name);
  const double n = static_cast<double>(tensor.numel());
  EXPECT_NEAR(tensor.mean().item<double>(), 0, 4 * std / std::sqrt(n)) << name;
  EXPECT_NEAR(std_of(tensor), std, 4 * std / std::sqrt(2 * n)) << name;
}

TEST(Init, FollowsTheTableOfParameters) {
  const auto config = config_of("normal");
  const auto params = init_params(config, 1);
  const auto table = parameter_table(config);
  ASSERT_EQ(params.size(), table.size());
  size_t i = 0;
  for (const auto& [name, tensor] : params) {
    EXPECT_EQ(name, table[i].name);
    EXPECT_EQ(tensor.sizes(), at::IntArrayRef(table[i].shape));
    EXPECT_EQ(tensor.scalar_type(), at::kFloat);
    const bool is_one = tensor.eq(1).all().item<bool>();
    EXPECT_EQ(is_one, table[i].role == Role::norm) << name;
    ++i;
  }
}

TEST(Init, HasTheStandardDeviationsOfItsKind) {
  const auto normal = init_params(config_of("normal"), 1);
  for (const auto* name : {"embedding.weight", "head.weight", "layers.0.attention.qkv.weight",
                           "layers.0.ffn.down.weight", "layers.1.experts.down"})
    expect_normal(normal, name, 0.02);
  const auto scaled = init_params(config_of("scaled_normal"), 1);
  expect_normal(scaled, "layers.1.experts.gate_up", 0.02);
  for (const auto* name : {"layers.0.attention.out.weight", "layers.0.ffn.down.weight", "layers.1.experts.down"})
    expect_normal(scaled, name, 0.02 / std::sqrt(2.0 * 2));
  const auto wang = init_params(config_of("small_wang"), 1);
  expect_normal(wang, "embedding.weight", std::sqrt(2.0 / (5 * 128)));
  expect_normal(wang, "layers.1.experts.down", 2.0 / (2 * std::sqrt(128.0)));
}

TEST(Init, TruncatesAtThreeStandardDeviations) {
  const auto params = init_params(config_of("truncated_normal"), 1);
  const auto& tensor = params.at("layers.1.experts.gate_up");  // 131,072 values: 354 beyond 3 without truncation
  EXPECT_LE(tensor.abs().max().item<double>(), 0.06 + 1e-9);
  EXPECT_GT(tensor.abs().max().item<double>(), 0.058);
  EXPECT_NEAR(std_of(tensor), 0.02 * 0.98658, 1e-4);  // of a normal cut at 3; its standard error is 4e-5
  EXPECT_GT(init_params(config_of("normal"), 1).at("layers.1.experts.gate_up").abs().max().item<double>(), 0.07);
}

// head_dim 32; the scale 0.1 is that of OpenMoE's gin files.
TEST(Init, OfT5HasTheVariancesOfItsKernels) {
  const auto params = init_params(config_of("t5"), 1);
  expect_normal(params, "embedding.weight", 1.0);
  expect_normal(params, "layers.0.attention.out.weight", std::sqrt(0.1 / 128));
  expect_normal(params, "layers.1.experts.gate_up", std::sqrt(0.1 / 128));
  expect_normal(params, "layers.1.experts.down", std::sqrt(0.1 / 128));
  for (const auto* name : {"layers.0.ffn.gate_up.weight", "layers.0.ffn.down.weight", "head.weight"}) {
    const auto& tensor = params.at(name);  // its variance is that of the kernel although it is cut at 2 deviations
    const double std = std::sqrt(0.1 / static_cast<double>(tensor.size(1)));
    expect_normal(params, name, std);
    EXPECT_LE(tensor.abs().max().item<double>(), 2 * std / 0.8796 + 1e-9) << name;
    EXPECT_GT(tensor.abs().max().item<double>(), 1.98 * std / 0.8796) << name;
  }
  EXPECT_GT(params.at("layers.1.experts.down").abs().max().item<double>(),
            3.5 * std::sqrt(0.1 / 128));  // 65,536 values
  EXPECT_NEAR(std_of(params.at("layers.1.router.weight")), 0.02, 4 * 0.02 / std::sqrt(2.0 * 512));
  // Queries, then keys and values, 128 rows each.
  const auto& qkv = params.at("layers.0.attention.qkv.weight");
  ops::Params parts;
  for (int64_t i = 0; i < 3; ++i) parts.add(std::to_string(i), qkv.narrow(0, 128 * i, 128));
  expect_normal(parts, "0", std::sqrt(0.1 / 128) / std::sqrt(32.0));
  expect_normal(parts, "1", std::sqrt(0.1 / 128));
  expect_normal(parts, "2", std::sqrt(0.1 / 128));
}

// Keys have a head's width of their own, and queries come from a latent vector.
TEST(Init, OfT5DividesTheQueriesOfLatentAttention) {
  auto config = config_of("t5");
  config.attention = parse_toml("kind = \"latent\"\nkv_rank = 128\nq_rank = 256\nrope_dim = 16", "m", "");
  const auto params = init_params(config, 1);
  expect_normal(params, "layers.0.attention.q_b.weight", std::sqrt(0.1 / 256) / std::sqrt(32.0));
  expect_normal(params, "layers.0.attention.q_a.weight", std::sqrt(0.1 / 128));
  expect_normal(params, "layers.0.attention.kv_b.weight", std::sqrt(0.1 / 128));
}

// E = 4 < H: rows of length 0.1 at right angles. E = 256 > H = 128: columns.
TEST(Init, GivesOrthogonalMatricesToRoutersThatAskForThem) {
  for (const int64_t n_experts : {4, 256}) {
    auto config = config_of("normal");
    config.n_experts = n_experts;
    config.router = parse_toml("kind = \"base\"", "m", "");
    const auto weight = init_params(config, 1).at("layers.1.router.weight").to(at::kDouble);
    ASSERT_EQ(weight.sizes(), (at::IntArrayRef{n_experts, 128}));
    const auto gram = n_experts <= 128 ? weight.matmul(weight.t()) : weight.t().matmul(weight);
    testing::expect_close(gram, at::eye(gram.size(0), at::kDouble) * 0.01, 0, 1e-8,
                          "gram");  // elements near 0.01, rounded to fp32: 128 errors of 1e-11 at most
    EXPECT_TRUE(testing::same_bits(weight, init_params(config, 1).at("layers.1.router.weight").to(at::kDouble)));
    EXPECT_FALSE(testing::same_bits(weight, init_params(config, 2).at("layers.1.router.weight").to(at::kDouble)));
    expect_normal(init_params(config, 1), "layers.1.experts.down", 0.02);  // the others are as before
  }
}

TEST(Init, GivesNoMatrixToRoutersWithoutOne) {
  auto config = config_of("normal");
  for (const std::string kind : {"hash", "random", "uniform"}) {
    config.router = parse_toml("kind = \"" + kind + "\"", "m", "");
    EXPECT_EQ(init_params(config, 1).find("layers.1.router.weight"), nullptr) << kind;
  }
}

TEST(Init, DependsOnSeedAndNameAlone) {
  const auto config = config_of("normal");
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = init_params(config, 5);
  at::set_num_threads(2);
  const auto two = init_params(config, 5);
  at::set_num_threads(before);
  const auto other = init_params(config, 6);
  for (const auto& [name, tensor] : one) {
    EXPECT_TRUE(testing::same_bits(tensor, two.at(name))) << name;
    EXPECT_EQ(testing::same_bits(tensor, other.at(name)), tensor.dim() == 1) << name;  // norm weights are 1
  }
  EXPECT_FALSE(testing::same_bits(one.at("embedding.weight"), one.at("head.weight")));
  auto deeper = config;
  deeper.n_layers = 3;  // adds parameters, changes none
  EXPECT_TRUE(testing::same_bits(init_params(deeper, 5).at("layers.1.experts.down"), one.at("layers.1.experts.down")));
}

TEST(Init, OfOneParameterIsThatOfAllAndOfItsFirstRowsTheFirst) {
  const auto config = config_of("truncated_normal");
  const auto params = init_params(config, 5);
  for (auto spec : parameter_table(config)) {
    EXPECT_TRUE(testing::same_bits(initial_parameter(config, spec, 5), params.at(spec.name))) << spec.name;
    spec.shape[0] /= 2;
    EXPECT_TRUE(
        testing::same_bits(initial_parameter(config, spec, 5), params.at(spec.name).narrow(0, 0, spec.shape[0])))
        << spec.name;
  }
}

}  // namespace
}  // namespace evenkeel::model
