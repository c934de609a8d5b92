// Auxiliary losses on routers: functions over the decisions of all MoE layers of one micro-batch.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/config_tree.h"
#include "moe/router.h"

namespace evenkeel::moe {

// [model.balance]
struct BalanceTerm {
  std::string loss;          // a name of balance_loss_kinds()
  double coefficient = 0.0;  // must be given
  static void visit_fields(auto& term, auto&& field) {
    field("loss", term.loss, "name of the balance loss");
    field("coefficient", term.coefficient, "its weight in the loss");
  }
};
struct BalanceConfig {
  std::vector<BalanceTerm> terms;  // `loss = "switch"` with `coefficient`, or `loss = [{loss, coefficient}, ...]`
  double z_coefficient = 0.0;
  std::string z_reduce = "sum";  // over layers: sum or mean
};
void read_value(const ConfigNode& node, const std::string& path, BalanceConfig& out);
Json to_json(const BalanceConfig& config);

struct BalanceLossKind {
  const char* name;
  const char* help;
  // Scalar, unscaled, reduced over layers as its source does. Gradient flows through the probabilities only.
  at::Tensor (*compute)(const std::vector<RoutingDecision>& decisions);
};
const std::vector<BalanceLossKind>& balance_loss_kinds();

// Switch Transformer (arXiv 2101.03961, eq. 4), divided by k as Megatron does, summed over layers:
//   E / (k T^2) * sum_e n_e * sum_t p_te       1 a layer when uniform
// p = softmax of the logits; n_e counts a fresh top-k of p (not the balanced or dropped assignment). Padding is not counted.
at::Tensor switch_balance_loss(const std::vector<RoutingDecision>& decisions);

// transformers' load_balancing_loss_func: the logits of all layers concatenated first,
//   E * sum_{slot, e} f_{slot, e} * P_e        k when uniform
at::Tensor hf_balance_loss(const std::vector<RoutingDecision>& decisions);

// mean over tokens of (logsumexp_e l_te)^2 (ST-MoE, arXiv 2202.08906, eq. 5), summed or averaged over layers.
at::Tensor z_loss(const std::vector<RoutingDecision>& decisions, bool mean_over_layers);

}  // namespace evenkeel::moe
