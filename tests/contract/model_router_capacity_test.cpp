// Options of routers beside capacity rules: a recipe that is read has none that the other table takes out, and one that
// is refused has.
#include <ATen/ops/cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/config.h"
#include "moe/capacity.h"
#include "support/files.h"
#include "support/router_forms.h"

namespace evenkeel::model {
namespace {

using ::testing::HasSubstr;

struct Case {
  std::string kind, without, with, key;  // keys of [model.router] without and with the option
};

std::string recipe(const std::string& router, const std::string& capacity, int64_t top_k) {
  return "vocab_size = 16\nd_model = 8\nn_layers = 1\nn_heads = 2\nn_experts = 4\nd_expert = 6\ntop_k = " +
         std::to_string(top_k) + "\n[router]\n" + router + "\n[capacity]\n" + capacity;
}

// Weights [T, K] with the drops, and the load that after_step sees: what a layer makes of a decision.
at::Tensor result_of(const ModelConfig& config, const std::string& router_keys) {
  const testing::TestedRouter tested({config.router.find("kind")->to_json().as_string(), router_keys}, config.n_experts,
                                     config.top_k);
  const auto input = tested.with_logits(testing::leaning_logits(40, config.n_experts, 1));
  auto decision = tested.route(input);
  moe::apply_capacity(config.capacity, input, decision);
  const auto load = tested.router->balance_statistics(input, decision);
  return load.defined() ? at::cat({decision.weights, load}) : decision.weights;
}

void check_case(const Case& c, const std::string& capacity, int64_t top_k) {
  const std::string kind = "kind = \"" + c.kind + "\"\n",
                    what = c.kind + ", " + c.with + ", " + capacity + ", k " + std::to_string(top_k);
  const auto read = [&](const std::string& keys) {
    return read_model_config(parse_toml(recipe(kind + keys, capacity, top_k), "m.toml", ""));
  };
  const auto config = read(c.without);
  const double change = (result_of(config, c.without) - result_of(config, c.with)).abs().max().item<double>();
  if (change > 1e-9) {  // fp64: what cancels leaves 1e-16
    EXPECT_NO_THROW(read(c.with)) << what;
  } else {
    EXPECT_THAT(testing::message_of<ConfigError>([&] { read(c.with); }), HasSubstr("got model.router." + c.key + " = "))
        << what;
  }
}

TEST(RouterBesideCapacity, AnOptionIsRefusedExactlyWhereItDoesNothing) {
  std::vector<std::string> capacities = {"rule = \"none\""};
  for (const auto& rule : moe::capacity_rules())
    for (const std::string more :
         {"", "\nrenormalize = false", "\nrenormalize = \"before\"", "\nrenormalize = \"after\""})
      capacities.push_back("rule = \"" + rule.config.rule + "\"\nfactor_train = 0.75\nfactor_eval = 0.75\nminimum = 1" +
                           more);
  for (const auto& capacity : capacities)
    for (const int64_t top_k : {1, 2}) {
      for (const std::string kind : {"top_k", "loss_free", "quantile"}) {
        check_case({kind, "", "scaling = 2.5", "scaling"}, capacity, top_k);
        if (top_k > 1)
          check_case({kind, "renormalize = true", "renormalize = true\nnorm_p = 3", "norm_p"}, capacity, top_k);
      }
      check_case({"loss_free", "", "counts = \"after_drops\"", "counts"}, capacity, top_k);
    }
}

}  // namespace
}  // namespace evenkeel::model
