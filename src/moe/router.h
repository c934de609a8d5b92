// Routers: which tokens go to which experts, with which weights. A router is one file in moe/routers and
// one line in moe/registry.cpp. Legend: T tokens, E experts, K experts a token, H width, N assignments.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/config_tree.h"
#include "ops/params.h"

namespace evenkeel::moe {

enum class Mode { train,
                  eval };

// One layer's input to its router, for one micro-batch.
struct RouterInput {
  at::Tensor hidden;        // [T, H], normalised, as the experts see it
  at::Tensor weight;        // [E, H] the router's matrix; undefined for routers without one
  at::Tensor token_ids;     // [T] i64, ids of the input tokens
  int64_t n_sequences = 1;  // T = n_sequences * positions, sequence by sequence
  at::Tensor is_padding;    // [T] bool, true = ignore; undefined when there is none
  Mode mode = Mode::train;
  const ops::Params* state = nullptr;  // this layer's balancing state; read only
  uint64_t seed = 0;                   // of random routers: (run seed, step, micro-batch) already mixed in
  int64_t layer = 0;                   // for messages
  int64_t step = 0;                    // for messages
};

// One layer's routing of one micro-batch: N assignments, ordered by token, a token's best expert first.
// Token-choice routers give N = T * K.
struct RoutingDecision {
  int64_t layer = 0;
  int64_t n_tokens = 0, n_experts = 0, top_k = 0;
  at::Tensor logits;              // [T, E] fp32 (fp64 for fp64 models), before any score function
  at::Tensor token_ids;           // [N] i64 row of the token in [0, T)
  at::Tensor expert_ids;          // [N] i64; equal scores go to the lower expert
  at::Tensor weights;             // [N] dtype of logits, differentiable; multiplies the expert's output
  at::Tensor dropped;             // [N] bool, true = over capacity, contributes nothing; undefined = dropless
  at::Tensor is_padding;          // [T] bool or undefined, as it came in
  at::Tensor balance_statistics;  // what after_step wants, summed over micro-batches and ranks; may be undefined
};

enum class Scope { token,
                   sequence,
                   micro_batch,
                   step };  // what a decision or loss looks at

struct RouterTraits {
  Scope train_scope = Scope::token;
  Scope eval_scope = Scope::token;
  bool needs_balance = true;  // without a balance loss the load is expected to collapse
  // The published form is stated for |logits| <= this; beyond it route() throws NumericsError.
  double max_abs_logit = 1e30;
};

class Router {
 public:
  virtual ~Router() = default;
  virtual RoutingDecision route(const RouterInput& input) const = 0;
  virtual RouterTraits traits() const = 0;
  virtual Json options() const = 0;  // every option with its value, for resolved.json
  // fp32 tensors that balance; changed by after_step alone, part of the checkpoint.
  virtual ops::Params initial_state() const { return {}; }
  // statistics: the sum of RoutingDecision::balance_statistics over the step.
  virtual void after_step(ops::Params& state, const at::Tensor& statistics) const;
};

struct RouterShape {
  int64_t n_experts = 0;
  int64_t top_k = 0;
};

struct RouterKind {
  const char* name;
  const char* help;
  std::unique_ptr<Router> (*make)(const RouterShape& shape, const ConfigNode& options);
};
// Every registered router, in the order of the registry.
const std::vector<RouterKind>& router_kinds();
// `config` is the [model.router] table (may be empty: top_k). ConfigError names unknown kinds and keys.
std::unique_ptr<Router> make_router(const RouterShape& shape, const ConfigNode& config);

// ---- for routers ----
// hidden W^T in fp32, or fp64 for fp64 models. NumericsError with layer and step when one is not finite or
// outside +-max_abs_logit.
at::Tensor router_logits(const RouterInput& input, double max_abs_logit);
// The decision of a token-choice router from expert ids [T, K] and the weights [T, K] of the selected.
RoutingDecision token_choice(const RouterInput& input, const at::Tensor& logits, const at::Tensor& expert_ids,
                             const at::Tensor& weights);
// Reads a router's own options; `kind` is not one of them.
template <HasFields Options>
Options read_options(const ConfigNode& config) {
  Options options;
  ConfigNode rest = config.is_table() ? config : config_table("defaults");
  rest.erase("kind");
  read_value(rest, "model.router", options);
  return options;
}

}  // namespace evenkeel::moe
