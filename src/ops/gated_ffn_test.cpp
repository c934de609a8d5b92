#include "ops/gated_ffn.h"

#include <atomic>

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/erf.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "ops/permute.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::ops {
namespace {

using testing::expect_close;
using testing::random_ids;
using testing::random_tensor;

constexpr Activation kAll[] = {Activation::swiglu, Activation::geglu, Activation::geglu_tanh,
                               Activation::swiglu_clamped, Activation::swiglu_double};
// Bounds that values of a normal distribution reach.
GatedForm form_of(Activation activation) { return {activation, 1.3, 0.8}; }

at::Tensor silu(const at::Tensor& x) { return x / (1 + x.neg().exp()); }

// act(gate) times up, by the formulas.
at::Tensor naive_product(const at::Tensor& gate, const at::Tensor& up, const GatedForm& form) {
  const double kRoot = std::sqrt(2 / 3.14159265358979323846);
  switch (form.activation) {
    case Activation::swiglu: return silu(gate) * up;
    case Activation::geglu: return gate * 0.5 * (1 + at::erf(gate / std::sqrt(2.0))) * up;
    case Activation::geglu_tanh: return gate * 0.5 * (1 + ((gate + 0.044715 * gate * gate * gate) * kRoot).tanh()) * up;
    case Activation::swiglu_clamped: {
      const auto g = at::where(gate.gt(form.limit), at::full_like(gate, form.limit), gate);
      const auto high = at::where(up.gt(form.limit), at::full_like(up, form.limit), up);
      const auto u = at::where(high.lt(-form.limit), at::full_like(up, -form.limit), high);
      return g / (1 + (g * -form.alpha).exp()) * (u + 1);
    }
    case Activation::swiglu_double: {
      const int64_t I = up.size(0);
      return gate.narrow(0, 0, I) * silu(gate.narrow(0, I, I)) * up;
    }
  }
  return {};
}

// down (act(gate) * up) of one token, by the formulas; differentiable. Biases may be undefined.
struct Naive {
  at::Tensor gate_up, down, gate_up_bias = {}, down_bias = {};
  at::Tensor operator()(const at::Tensor& x, const GatedForm& form) const {
    const int64_t I = down.size(1), G = gate_up.size(0) - I;
    auto hidden = gate_up.matmul(x);
    if (gate_up_bias.defined()) hidden = hidden + gate_up_bias;
    const auto out = down.matmul(naive_product(hidden.narrow(0, 0, G), hidden.narrow(0, G, I), form));
    return down_bias.defined() ? out + down_bias : out;
  }
};

struct Case {
  at::Tensor x, token_ids, expert_ids, weights, gate_up, down;
  at::Tensor gate_up_bias = {}, down_bias = {};
};
Case make_case(int64_t T, int64_t K, int64_t E, int64_t H, int64_t I, uint64_t seed) {
  return {random_tensor({T, H}, seed),
          at::arange(T, at::kLong).repeat_interleave(K),
          random_ids(T * K, E, seed + 1),
          random_tensor({T * K}, seed + 2),
          random_tensor({E, 2 * I, H}, seed + 3),
          random_tensor({E, H, I}, seed + 4)};
}

// The same with biases, and matrices as wide as the form wants.
Case make_case_of(const GatedForm& form, int64_t T, uint64_t seed) {
  constexpr int64_t E = 3, H = 3, I = 2;
  Case out = make_case(T, 2, E, H, I, seed);
  const int64_t G = form.gate_up_width(I);
  out.gate_up = random_tensor({E, G, H}, seed + 3);
  out.gate_up_bias = random_tensor({E, G}, seed + 5);
  out.down_bias = random_tensor({E, H}, seed + 6);
  return out;
}

at::Tensor naive_routed(const Case& c, const GatedForm& form) {
  std::vector<at::Tensor> rows(static_cast<size_t>(c.x.size(0)), at::zeros({c.x.size(1)}, c.x.options()));
  for (int64_t n = 0; n < c.token_ids.size(0); ++n) {
    const int64_t t = c.token_ids[n].item<int64_t>(), e = c.expert_ids[n].item<int64_t>();
    const auto of = [&](const at::Tensor& bias) { return bias.defined() ? bias[e] : bias; };
    const Naive ffn{c.gate_up[e], c.down[e], of(c.gate_up_bias), of(c.down_bias)};
    rows[static_cast<size_t>(t)] = rows[static_cast<size_t>(t)] + ffn(c.x[t], form) * c.weights[n];
  }
  return at::stack(rows);
}
at::Tensor routed(const Case& c, const GatedForm& form) {
  const auto permutation = sort_by_expert(c.token_ids, c.expert_ids, c.gate_up.size(0));
  const auto rows = experts_ffn(permute(c.x, permutation), c.weights.index_select(0, permutation.order),
                                permutation.rows_per_expert, {c.gate_up, c.down, form, c.gate_up_bias, c.down_bias});
  return combine(rows, permutation, c.x.size(0));
}
// The case with x, weights, gate_up, down from `in`, and the biases where it has them.
Case with_inputs(Case c, const std::vector<at::Tensor>& in) {
  c.x = in[0], c.weights = in[1], c.gate_up = in[2], c.down = in[3];
  if (in.size() > 4) c.gate_up_bias = in[4], c.down_bias = in[5];
  return c;
}
std::vector<at::Tensor> inputs_of(const Case& c) {
  std::vector<at::Tensor> out = {c.x, c.weights, c.gate_up, c.down};
  if (c.gate_up_bias.defined()) out.insert(out.end(), {c.gate_up_bias, c.down_bias});
  return out;
}

TEST(Activation, IsReadAndWrittenByItsName) {
  const auto read = [](const std::string& name) {
    Activation out{};
    read_value(*parse_toml("a = \"" + name + "\"", "r.toml", "").find("a"), "a", out);
    return out;
  };
  for (const auto activation : kAll) EXPECT_EQ(read(name_of(activation)), activation);
  EXPECT_EQ(testing::message_of<ConfigError>([&] { read("relu"); }),
            "r.toml:1:1: got a = 'relu'; need one of: swiglu, geglu, geglu_tanh, swiglu_clamped, swiglu_double");
}

TEST(GatedFfn, MatchesTheFormula) {
  const auto x = random_tensor({40, 3}, 1), down = random_tensor({3, 5}, 3);
  for (const auto activation : kAll) {
    const auto form = form_of(activation);
    const int64_t G = form.gate_up_width(5);
    EXPECT_EQ(G, activation == Activation::swiglu_double ? 15 : 10);
    const auto gate_up = random_tensor({G, 3}, 2), bias = random_tensor({G}, 4), out_bias = random_tensor({3}, 5);
    const auto plain = gated_ffn(x, {gate_up, down, form}),
               biased = gated_ffn(x, {gate_up, down, form, bias, out_bias});
    for (int64_t t = 0; t < 40; ++t) {
      expect_close(plain[t], Naive{gate_up, down}(x[t], form), 1e-12, 1e-13, name_of(activation));
      expect_close(biased[t], Naive{gate_up, down, bias, out_bias}(x[t], form), 1e-12, 1e-13, name_of(activation));
    }
  }
}

// gpt-oss's own numbers: 7 and 1.702. min(10, 7) = 7, sigmoid(11.914) = 0.99999330...; up -9 becomes -7, plus 1.
TEST(GatedFfn, ClampsAsGptOss) {
  const auto one = at::ones({1, 1}, at::kDouble);
  const auto of = [&](double gate, double up) {
    const auto gate_up = at::tensor({gate, up}, at::kDouble).view({2, 1});
    return gated_ffn(one, {gate_up, one, Activation::swiglu_clamped}).item<double>();
  };
  EXPECT_NEAR(of(10, -9), 7 / (1 + std::exp(-11.914)) * -6, 1e-12);
  EXPECT_NEAR(of(10, 9), 7 / (1 + std::exp(-11.914)) * 8, 1e-12);
  EXPECT_NEAR(of(-10, 0.5), -10 / (1 + std::exp(17.02)) * 1.5, 1e-12);  // the gate has no lower bound
}

TEST(ExpertsFfn, MatchesALoopOverAssignments) {
  // 300 rows for expert 1 make three tiles; expert 3 stays empty.
  auto c = make_case(400, 2, 4, 6, 5, 10);
  c.expert_ids = c.expert_ids.masked_fill(c.expert_ids.eq(3), 1);
  c.expert_ids.narrow(0, 0, 300).fill_(1);
  for (const auto activation : {Activation::swiglu, Activation::geglu}) {
    expect_close(routed(c, activation), naive_routed(c, activation), 1e-11, 1e-12,
                 "fp64");  // sums of 6 and 5, values to 100
    auto f = c;
    for (auto* tensor : {&f.x, &f.weights, &f.gate_up, &f.down}) *tensor = tensor->to(at::kFloat);
    expect_close(routed(f, activation), naive_routed(c, activation), 1e-5, 1e-4,
                 "fp32");  // 6e-8 of values to 100, cancelling
  }
}

TEST(ExpertsFfn, GradientsMatchTheLoopAcrossTiles) {
  auto c = make_case(200, 2, 3, 4, 3, 20);
  c.expert_ids.narrow(0, 0, 280).fill_(2);
  const auto weight = random_tensor({200, 4}, 25);
  const auto got = testing::gradients_of(
      [&](const auto& in) { return (routed(with_inputs(c, in), Activation::geglu) * weight).sum(); }, inputs_of(c));
  const auto need = testing::gradients_of(
      [&](const auto& in) { return (naive_routed(with_inputs(c, in), Activation::geglu) * weight).sum(); },
      inputs_of(c));
  for (size_t i = 0; i < got.size(); ++i)
    expect_close(got[i], need[i], 1e-10, 1e-10, "input " + std::to_string(i));  // sums of up to 300
}

TEST(ExpertsFfn, GradientsMatchFiniteDifferences) {
  const auto weight = random_tensor({4, 3}, 35);
  for (const auto activation : kAll) {
    const auto form = form_of(activation);
    auto c = make_case_of(form, 4, 30);
    for (const bool has_bias : {true, false}) {
      if (!has_bias) c.gate_up_bias = c.down_bias = at::Tensor();
      expect_close(routed(c, form), naive_routed(c, form), 1e-12, 1e-12, name_of(activation));
      testing::expect_gradients([&](const auto& in) { return (routed(with_inputs(c, in), form) * weight).sum(); },
                                inputs_of(c));
    }
  }
}

TEST(ExpertsFfn, GradientsOfBiasesMatchTheLoopAcrossTiles) {
  const auto form = form_of(Activation::swiglu_clamped);
  auto c = make_case_of(form, 200, 90);
  c.expert_ids.narrow(0, 0, 280).fill_(2);
  const auto weight = random_tensor({200, 3}, 97);
  const auto got = testing::gradients_of(
      [&](const auto& in) { return (routed(with_inputs(c, in), form) * weight).sum(); }, inputs_of(c));
  const auto need = testing::gradients_of(
      [&](const auto& in) { return (naive_routed(with_inputs(c, in), form) * weight).sum(); }, inputs_of(c));
  for (size_t i = 0; i < got.size(); ++i)
    expect_close(got[i], need[i], 1e-10, 1e-10, "input " + std::to_string(i));  // sums of up to 300
}

// Experts that are made when they are used, each once and those without rows never: the bits of those in memory.
TEST(ExpertsFfn, MakesStoredExpertsOnceEach) {
  const at::NoGradGuard no_grad;
  for (const auto activation : kAll) {
    const auto form = form_of(activation);
    auto c = make_case_of(form, 300, 100);
    for (auto* tensor : {&c.x, &c.weights, &c.gate_up, &c.down, &c.gate_up_bias, &c.down_bias})
      *tensor = tensor->to(at::kFloat);
    c.expert_ids.narrow(0, 0, 290).fill_(2);  // several tiles
    c.expert_ids = c.expert_ids.masked_fill(c.expert_ids.eq(1), 0);
    for (const bool has_bias : {true, false}) {
      if (!has_bias) c.gate_up_bias = c.down_bias = at::Tensor();
      std::vector<std::atomic<int>> n_made(static_cast<size_t>(c.gate_up.size(0)));
      const StoredExperts stored{
          c.gate_up.size(0), c.down.size(2), [&](int64_t e) {
            ++n_made[static_cast<size_t>(e)];
            const auto of = [&](const at::Tensor& all) { return all.defined() ? all[e].clone() : at::Tensor(); };
            return ExpertMatrices{of(c.gate_up), of(c.down), of(c.gate_up_bias), of(c.down_bias)};
          }};
      Experts experts{{}, {}, form};
      experts.stored = &stored;
      const auto permutation = sort_by_expert(c.token_ids, c.expert_ids, experts.n_experts());
      const auto rows = experts_ffn(permute(c.x, permutation), c.weights.index_select(0, permutation.order),
                                    permutation.rows_per_expert, experts);
      EXPECT_TRUE(testing::same_bits(combine(rows, permutation, c.x.size(0)), routed(c, form)));
      for (size_t e = 0; e < n_made.size(); ++e) EXPECT_EQ(n_made[e], permutation.rows_per_expert[e] > 0 ? 1 : 0) << e;
      EXPECT_EQ(permutation.rows_per_expert[1], 0);
      EXPECT_GT(permutation.rows_per_expert[2], 256);
    }
  }
}

TEST(ExpertsFfn, AddsAssignmentsOfOneTokenToTheSameExpert) {
  auto c = make_case(1, 3, 2, 4, 3, 40);
  c.expert_ids.fill_(1);
  const auto once = Naive{c.gate_up[1], c.down[1]}(c.x[0], Activation::swiglu);
  expect_close(routed(c, Activation::swiglu)[0], once * c.weights.sum(), 1e-12, 1e-12, "three times");
}

TEST(ExpertsFfn, EmptyExpertsGetZeroGradients) {
  auto c = make_case(5, 1, 4, 3, 2, 50);
  c.expert_ids.fill_(2);
  const auto gradients = testing::gradients_of(
      [&](const auto& in) { return routed(with_inputs(c, in), Activation::swiglu).sum(); }, inputs_of(c));
  for (const int64_t expert : {0, 1, 3}) {
    EXPECT_EQ(gradients[2][expert].abs().max().item<double>(), 0.0);
    EXPECT_EQ(gradients[3][expert].abs().max().item<double>(), 0.0);
  }
  EXPECT_GT(gradients[2][2].abs().max().item<double>(), 0.0);
}

TEST(ExpertsFfn, TakesNoAssignmentsAndNoTokens) {
  for (const int64_t T : {0, 3}) {
    Case c = make_case(T, 1, 2, 4, 3, 60);
    c.token_ids = c.token_ids.narrow(0, 0, 0);
    c.expert_ids = c.expert_ids.narrow(0, 0, 0);
    c.weights = c.weights.narrow(0, 0, 0);
    const auto gradients = testing::gradients_of(
        [&](const auto& in) { return routed(with_inputs(c, in), Activation::swiglu).sum(); }, inputs_of(c));
    EXPECT_TRUE(testing::same_bits(gradients[0], at::zeros({T, 4}, at::kDouble)));
    EXPECT_EQ(gradients[1].numel(), 0);
    EXPECT_EQ(gradients[2].abs().max().item<double>(), 0.0);
    EXPECT_TRUE(testing::same_bits(routed(c, Activation::swiglu), at::zeros({T, 4}, at::kDouble)));
  }
}

TEST(ExpertsFfn, LeavesTokensWithoutAssignmentsAtZero) {
  auto c = make_case(4, 1, 2, 3, 2, 70);
  c.token_ids = at::tensor({1, 1, 3, 3}).to(at::kLong);
  const auto out = routed(c, Activation::swiglu);
  expect_close(out, naive_routed(c, Activation::swiglu), 1e-12, 1e-13, "some tokens");
  EXPECT_EQ(out[0].abs().max().item<double>(), 0.0);
  EXPECT_EQ(out[2].abs().max().item<double>(), 0.0);
}

TEST(ExpertsFfn, DoesNotDependOnTheNumberOfThreads) {
  auto c = make_case(600, 2, 5, 32, 24, 80);
  for (auto* tensor : {&c.x, &c.weights, &c.gate_up, &c.down}) *tensor = tensor->to(at::kFloat);
  const int before = at::get_num_threads();
  const auto run = [&](int n_threads) {
    at::set_num_threads(n_threads);
    auto out = testing::gradients_of(
        [&](const auto& in) {
          const auto y = routed(with_inputs(c, in), Activation::geglu);
          return (y * y).sum();
        },
        inputs_of(c));
    out.push_back(routed(c, Activation::geglu));
    return out;
  };
  const auto one = run(1), two = run(2);
  at::set_num_threads(before);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(testing::same_bits(one[i], two[i])) << i;
}

}  // namespace
}  // namespace evenkeel::ops
