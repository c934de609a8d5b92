// One optimizer step: the function to read first.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "analysis/routing_stats.h"
#include "train/state.h"

namespace evenkeel::train {

struct StepSeconds {
  double forward = 0, backward = 0, optimizer = 0;
};

struct LossTerm {
  std::string name;  // "cross_entropy", "balance", "z", "logit_z"; several balance losses: "balance.NAME"
  double value = 0;  // unscaled, mean over the step weighted by tokens
  double coefficient = 1;
};

struct StepReport {
  double loss = 0;  // what is minimised
  std::vector<LossTerm> terms;
  double grad_norm = 0;  // before clipping
  double learning_rate = 0;
  // Places in the step's sequences; of these, those without a token, and those at which something is scored.
  int64_t n_tokens = 0, n_padding = 0, n_scored = 0;
  std::vector<analysis::RoutingCounts> routing;  // of each MoE layer, over the whole step
  std::vector<double> token_scores;  // of each MoE layer: token_score over the whole step; NaN where that says nothing
  StepSeconds seconds;
  double scored_share() const;   // of the tokens without padding
  double padding_share() const;  // of all of them
};

// The terms of the loss in the order in which they add up, with their coefficients: the cross-entropy, each balance
// loss, the z-loss of a router with a matrix, and that of the output logits where its coefficient is not 0. `router`:
// nullptr for a dense model.
std::vector<LossTerm> loss_terms(const model::ModelConfig& config, const moe::Router* router,
                                 double logit_z_coefficient);

// The losses of one micro-batch and its routing.
struct MicroLosses {
  // Differentiable, over target tokens: the cross-entropy and, times its coefficient, the z-loss of the logits.
  at::Tensor head_sum;
  at::Tensor cross_entropy_sum, logit_z_sum;  // its parts, unscaled, without gradient; the latter undefined: none
  // Differentiable means over the micro-batch.
  std::vector<std::pair<LossTerm, at::Tensor>> auxiliary;
  std::vector<moe::RoutingDecision> routing;
  // One for each balance loss: what the step has counted so far, this micro-batch included. Empty where the loss has
  // another scope than the step.
  std::vector<moe::StepLoad> step_loads;
};
// What a micro-batch knows of its step.
struct InStep {
  int64_t step = 0;                       // its number, from 1
  uint64_t seed = 0;                      // of the run
  int64_t micro_batch = 0;                // its place; random routers draw from (run seed, step, micro-batch, layer)
  std::vector<moe::StepLoad> loads = {};  // MicroLosses::step_loads of the micro-batch before; empty for the first
  // RouterInput::step_plan of each MoE layer. Empty unless routers have the step as scope.
  std::vector<at::Tensor> router_plans = {};
  double logit_z_coefficient = 0;  // of [train]
};
// What a router that scores each expert by itself gives a token in all: the mean over tokens of the sum of their scores
// over the experts, an fp64 scalar. Undefined where it says nothing: the scores of a softmax sum to 1, and some routers
// have none.
at::Tensor token_score(const moe::RoutingDecision& decision);
InStep next_step(const TrainState& state);  // the first micro-batch of the step after this state
// One forward pass in training mode.
MicroLosses micro_losses(const model::Transformer& model, const model::Snapshot& values, const data::Batch& batch,
                         const InStep& in_step);

// What a step minimises beside the model's own losses, and how it changes the parameters. What it refers to must
// outlive it.
struct StepRule {
  const optim::Optimizer& optimizer;
  double learning_rate = 0;
  const optim::RateFactors& factors;
  double logit_z_coefficient = 0;  // of [train]
};

// Forward, backward and update over the micro-batches of one step.
//
// The cross-entropy, like the z-loss of the logits, is the sum over target tokens divided by the target tokens of the
// whole step, so that it does not depend on the split into micro-batches. Balance and z losses are means over a
// micro-batch, weighted by its tokens without padding. Thereby z-losses and balance losses by sequence do not depend on
// the split either. A balance loss of micro-batch scope does, and one of step scope sees what the step has counted so
// far.
//
// A router of step scope makes its plans in one more forward pass without gradient, over all micro-batches as one; it
// needs none where there is only one micro-batch. All figures are read from the device once, after the backward passes.
//
// NumericsError with step and loss when the loss or the gradient norm is not finite, DataError when no token of the
// step has a target. The state is then unchanged.
StepReport train_step(const model::Transformer& model, const StepRule& rule, std::span<const data::Batch> micro_batches,
                      TrainState& state);

}  // namespace evenkeel::train
