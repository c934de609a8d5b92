// Routers on inputs and results of another library, which tests/parity/router_parity.py writes and then runs this on.
#include <cstdlib>

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/router_forms.h"

namespace evenkeel::moe {
namespace {

// One case: [model.router] keys, state, hidden [T, H], weight [E, H] -> weights [T, E], 0 where not selected, and the
// gradient by the router's matrix of sum_te coefficients_te * weights_te. All fp32.
void check_case(const Json& c) {
  const std::string name = c.at("name").as_string();
  const auto hidden = testing::tensor_of(c.at("hidden")).to(at::kFloat);
  const auto weight = testing::tensor_of(c.at("weight")).to(at::kFloat).requires_grad_(true);
  const int64_t n_tokens = hidden.size(0), n_experts = weight.size(0), top_k = c.at("top_k").as_int();
  testing::TestedRouter tested({c.at("kind").as_string(), c.at("keys").as_string()}, n_experts, top_k);
  for (const auto& [key, value] : c.at("state").as_object()) tested.state.at(key).copy_(testing::tensor_of(value));
  const auto decision = tested.route(tested.input(hidden, weight, Mode::eval));
  const auto places = decision.token_ids * n_experts + decision.expert_ids;
  const auto weights = at::zeros({n_tokens * n_experts}, decision.weights.options())
                           .scatter_add(0, places, decision.weights)
                           .view({n_tokens, n_experts});

  const auto need = testing::tensor_of(c.at("weights"));
  const auto is_selected =
      at::zeros({n_tokens * n_experts}, at::kBool).scatter_(0, places, true).view({n_tokens, n_experts});
  EXPECT_TRUE(testing::same_bits(is_selected, need.ne(0))) << name << ": other experts";
  constexpr double kRelative = 5e-6, kAbsolute = 1e-7;  // fp32: a GEMM of 48 terms, an exponential, a norm
  testing::expect_close(weights, need, kRelative, kAbsolute, name + " weights");
  const auto coefficients = testing::tensor_of(c.at("coefficients")).to(at::kFloat);
  const auto gradient = torch::autograd::grad({(weights * coefficients).sum()}, {weight})[0];
  testing::expect_close(gradient, testing::tensor_of(c.at("gradient")), 1e-4, 2e-5,
                        name + " gradient");  // sums over some 200 tokens
}

TEST(RouterOracle, GivesTheWeightsAndGradientsOfTheOtherLibrary) {
  const char* path = std::getenv("EVENKEEL_ROUTER_ORACLE");
  if (path == nullptr) GTEST_SKIP() << "needs EVENKEEL_ROUTER_ORACLE: tests/parity/router_parity.py sets it";
  const Json file = Json::parse(read_file(path), path);
  ASSERT_GT(file.at("cases").size(), 0u);
  for (const auto& c : file.at("cases").as_array()) check_case(c);
}

}  // namespace
}  // namespace evenkeel::moe
