// AdamW with decoupled weight decay (arXiv 1711.05101), global-norm clipping, and parameter groups by name.
#pragma once

#include <string>
#include <vector>

#include "core/config_tree.h"
#include "ops/params.h"
#include "optim/rate_factors.h"

namespace evenkeel::optim {

// Which parameters the weight decay acts on: those of two or more dimensions, but for the biases of experts, or all.
enum class Decay { matrices, all };
std::span<const Named<Decay>> names_of(Decay);

struct OptimizerConfig {
  std::string kind = "adamw";
  std::vector<double> betas = {0.9, 0.95};
  double eps = 1e-8;
  double weight_decay = 0.1;
  Decay decay = Decay::matrices;
  double clip_norm = 1.0;
  static void visit_fields(auto& config, auto&& field) {
    field("kind", config.kind, "adamw");
    field("betas", config.betas, "decay of the first and of the second moment");
    field("eps", config.eps, "added to the root of the second moment");
    field("weight_decay", config.weight_decay, "decoupled weight decay");
    field("decay", config.decay, "matrices (two or more dimensions, without the experts' biases) or all");
    field("clip_norm", config.clip_norm, "largest global gradient norm; 0 = no clipping");
  }
};
void check_optimizer_config(const OptimizerConfig& config, const ConfigNode& given);

// Moments in fp32, one pair a parameter, and the number of updates that each parameter has had; all in the order of the
// parameters.
struct AdamState {
  ops::Params first, second;     // same names and shapes as the parameters
  std::vector<int64_t> updates;  // bias correction counts a parameter's own updates
};
AdamState initial_adam_state(const ops::Params& params);

// torch's clip_grad_norm_: scales by clip / (norm + 1e-6) where that is below 1.
void clip_gradients(const std::vector<at::Tensor>& gradients, double norm, double clip_norm);

// How a step changes the parameters. What it refers to must outlive it.
struct UpdateRule {
  const OptimizerConfig& optimizer;
  double learning_rate = 0;
  const RateFactors& factors;
};
// One update in place. gradients[i] belongs to the i-th parameter; undefined = no gradient, then the
// parameter is left as it is, moments and weight decay included. A frozen parameter is left too, and so are frozen rows
// of one that learns; what counts its updates counts those of the parameter.
void adamw_update(const UpdateRule& rule, const ops::Params& params, const std::vector<at::Tensor>& gradients,
                  AdamState& state);

}  // namespace evenkeel::optim
