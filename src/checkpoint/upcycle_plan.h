// What `upcycle` will make of a model, decided and checked before anything is written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/expert_forms.h"
#include "checkpoint/model_source.h"
#include "core/config_tree.h"

namespace evenkeel::checkpoint {

// All that a grown model depends on beside its parent; it stands in the state.json of the checkpoint.
struct UpcycleOptions {
  int64_t n_experts = 0, top_k = 0, granularity = 1, n_shared_experts = 0, seed = 1;
  UpcycleMethod method = UpcycleMethod::copy;
  double ratio = 0.5;
  ChangedRows rows = ChangedRows::each;
  RouterInit router_init = RouterInit::normal;
  double router_noise = 0.01;
  std::vector<std::string> set = {};  // "model.router.score=sigmoid"
  static void visit_fields(auto& options, auto&& field) {
    field("experts", options.n_experts, {"E, routed experts of the grown model", "experts", kRequired});
    field("top_k", options.top_k, {"K, routed experts a token", "experts", "as it is in a model with experts"});
    field("method", options.method, "copy, noise or drop");
    field("ratio", options.ratio, {"share of an expert's inner features that noise or drop changes", "fraction 0..1"});
    field("rows", options.rows, "each: these features are drawn for every matrix; shared: once for all three");
    field("granularity", options.granularity, {"g: an expert is d_ff / g wide", ""});
    field("shared", options.n_shared_experts, {"shared experts, d_ff / g wide each", "experts"});
    field("seed", options.seed, "of all that is drawn");
    field("router_init", options.router_init, "first values of the router's matrix");
    field("router_noise", options.router_noise,
          "of a model with experts: noise on the routers' new rows, over the standard deviation of the copied row");
    field("set", options.set, "keys of the recipe's [model]: router, balance, capacity, moe_layers");
  }
  ExpertChange change() const { return {method, ratio, rows, static_cast<uint64_t>(seed)}; }
};

struct UpcyclePlan {
  model::ModelConfig config;  // of the grown model
  bool adds_experts = false;  // the parent has experts, which stay; else its feed-forward networks become experts
  // Of a dense parent (expert_forms.h): W, whether it is that for all logits, s, and what gate, up and down get.
  double weights_sum = 1;
  bool has_fixed_sum = true;
  double scale = 1, multiplier = 1;
  std::string difference;  // why the function is not the parent's, in words; "" where it is, up to rounding
  std::string advice;      // what to do about that; may be empty
};

// ConfigError names the option, what was got and what is needed.
UpcyclePlan plan_upcycling(const ModelSource& parent, const UpcycleOptions& options);

}  // namespace evenkeel::checkpoint
