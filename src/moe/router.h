// Routers: which tokens go to which experts, with which weights. A router is one file in moe/routers and
// one line in moe/registry.cpp. Legend: T tokens, E experts, K experts a token, H width, N assignments.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/kinds.h"
#include "ops/params.h"

namespace evenkeel::moe {

enum class Mode { train, eval };

// One layer's input to its router, for one micro-batch.
struct RouterInput {
  at::Tensor hidden;        // [T, H], normalised, as the experts see it
  at::Tensor weight;        // [E, H] the router's matrix; undefined for routers without one
  at::Tensor bias;          // [E] of its logits; undefined when there is none
  at::Tensor token_ids;     // [T] i64, ids of the input tokens
  int64_t n_sequences = 1;  // T = n_sequences * positions, sequence by sequence
  at::Tensor is_padding;    // [T] bool, true = ignore; undefined when there is none
  Mode mode = Mode::train;
  const ops::Params* state = nullptr;  // this layer's balancing state; read only
  at::Tensor step_plan;  // [E] expert bias made from the whole step (RoutingDecision::plan); undefined otherwise
  uint64_t seed = 0;     // of random routers: (run seed, step, micro-batch) already mixed in
  int64_t layer = 0;     // for messages
  int64_t step = 0;      // for messages
};

// What a logit is turned into before anything is balanced or weighed.
enum class Score { softmax, sigmoid, sqrtsoftplus };

// One layer's routing of one micro-batch: N assignments, ordered by token, a token's best expert first.
// Routers that give every token its K experts (RouterTraits::exactly_k) have N = T * K.
struct RoutingDecision {
  int64_t layer = 0;
  int64_t n_tokens = 0, n_experts = 0, top_k = 0;
  int64_t n_sequences = 1;       // as it came in
  Score score = Score::softmax;  // of the router; what its balance losses take the probabilities from
  at::Tensor logits;        // [T, E] fp32 (fp64 for fp64 models), before any score function; undefined without a matrix
  at::Tensor token_ids;     // [N] i64 row of the token in [0, T)
  at::Tensor expert_ids;    // [N] i64; equal scores go to the lower expert
  at::Tensor weights;       // [N] dtype of logits, differentiable; multiplies the expert's output
  at::Tensor dropped;       // [N] bool, true = over capacity, contributes nothing; undefined = dropless
  int64_t capacity = 0;     // assignments an expert takes of a group (of the largest); 0 = dropless
  at::Tensor is_padding;    // [T] bool or undefined, as it came in
  at::Tensor expert_input;  // [T, H] where the experts see something else than RouterInput::hidden; else undefined
  at::Tensor plan;          // [E] bias that the selection added to the logits, where it is one of the whole batch
  at::Tensor balance_statistics;  // what after_step wants, summed over micro-batches and ranks; may be undefined
};

enum class Scope { token, sequence, micro_batch, step };  // what a decision or loss looks at

// What holds for a router; the contract suite (tests/contract) searches for counterexamples of each.
struct RouterTraits {
  Scope train_scope = Scope::token;  // what the decision on a token looks at
  Scope eval_scope = Scope::token;
  bool causal_train = true;  // no decision depends on a later token of its sequence
  bool causal_eval = true;
  bool exactly_k = true;    // every token gets K experts; false: 0 .. E
  double mean_experts = 0;  // that a token gets in training where it is not K; 0 = K
  // In training no two experts' loads differ by more than 1, so that none exceeds its share rounded up.
  bool balanced_train = false;
  bool balanced_eval = false;       // at evaluation the same of each sequence without padding
  bool has_matrix = true;           // learns a [E, H] matrix; without one there are no logits and no auxiliary losses
  bool has_weight_gradient = true;  // the weights are a function of the logits
  bool needs_balance = true;        // without a balance loss the load is expected to collapse
  bool needs_token_counts = false;  // StateInput::token_counts must be given
  int64_t max_top_k = 1 << 30;      // 1 for rules that choose one expert
  bool is_orthogonal_at_first = false;  // the matrix begins orthogonal, of gain 0.1; false: as the model's matrices
  // The published form is stated for |logits| <= this, in training and at evaluation; beyond it route() throws
  // NumericsError.
  double max_abs_logit = 1e30, max_abs_logit_eval = 1e30;
  // The option that a balancing state is made for: with another value of it the state means nothing. nullptr: none.
  const char* state_option = nullptr;
};

// What the balancing state of one layer is made from, once, when a run begins.
struct StateInput {
  int64_t layer = 0;
  uint64_t seed = 0;        // of the run
  at::Tensor token_counts;  // [V] i64 occurrences of each id in the training data; undefined unless asked for
};

class Router {
 public:
  virtual ~Router() = default;
  virtual RoutingDecision route(const RouterInput& input) const = 0;
  virtual RouterTraits traits() const = 0;
  virtual Json options() const = 0;  // every option with its value, for resolved.json
  // Tensors that balance, fp32 or wider (tables: i64); changed by after_step alone, part of the checkpoint.
  // Names and shapes do not depend on the input.
  virtual ops::Params initial_state(const StateInput&) const { return {}; }
  // What after_step wants to know of one micro-batch, after drops (decision.dropped); sums over micro-batches
  // and ranks. Undefined = nothing.
  virtual at::Tensor balance_statistics(const RouterInput&, const RoutingDecision&) const { return {}; }
  // statistics: the sum of balance_statistics over the step; undefined when there was none.
  virtual void after_step(ops::Params& state, const at::Tensor& statistics) const;
};

struct RouterShape {
  int64_t n_experts = 0;
  int64_t top_k = 0;
  int64_t vocab_size = 0;
};

// What a router's file gives the registry, and a line of it.
using RouterFactory = KindFactory<Router, RouterShape>;
using RouterKind = Kind<Router, RouterShape>;
// Every registered router, in the order of the registry.
const std::vector<RouterKind>& router_kinds();
// `config` is the [model.router] table (may be empty: top_k). ConfigError names unknown kinds and keys.
std::unique_ptr<Router> make_router(const RouterShape& shape, const ConfigNode& config);
std::vector<ConfigKey> router_keys(const std::string& path);  // of all kinds
inline constexpr KindTable kRouterTable{"model.router", "top_k"};

// ---- for routers ----
// hidden W^T + bias in fp32, or fp64 for fp64 models. NumericsError with layer and step when one is not finite or
// outside +-max_abs_logit; those of padding may be.
at::Tensor router_logits(const RouterInput& input, double max_abs_logit);
// The decision of a token-choice router from expert ids [T, K] and the weights [T, K] of the selected.
RoutingDecision token_choice(const RouterInput& input, const at::Tensor& logits, const at::Tensor& expert_ids,
                             const at::Tensor& weights);
// The decision of a router without a matrix from expert ids [T, K]: weights 1 / K without gradient, fp32 (fp64
// for fp64 models); no logits.
RoutingDecision fixed_choice(const RouterInput& input, int64_t n_experts, const at::Tensor& expert_ids);
template <HasFields Options>
RouterFactory factory_of(std::unique_ptr<Router> (*make)(const RouterShape& shape, Options options,
                                                         const ConfigNode& config)) {
  return kind_factory(kRouterTable, make);
}

}  // namespace evenkeel::moe
