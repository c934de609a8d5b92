// Auxiliary losses on routers. All balance losses of the literature are one formula; what differs is a row of a table.
//
//   one layer:  sum over groups g of  (T_g / T) * E / d * sum_e f_ge P_ge
//               f_ge = n_ge / T_g,  P_ge = mean of p_te over the tokens of g
//
// T tokens without padding, T_g of them in group g (so that groups of equal length are averaged); d = k, or 1; n_ge
// assignments of the group to expert e, without gradient; p the router's scores normalised to sum 1. Uniform routing
// gives the minimum: 1 where d = k or first choices are counted, k where d = 1. Gradient flows through p alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/config_keys.h"
#include "moe/router.h"

namespace evenkeel::moe {

// Added to the sum that normalises scores other than softmax.
inline constexpr double kScoreGuard = 1e-20;

// What n_e counts.
enum class Counts {
  // Each token's k largest logits, taken afresh. No bias, plan, group limit or drop enters; jitter is in the logits.
  plain,
  first,   // its largest logit only
  actual,  // the router's assignments, before drops
  kept     // the router's assignments that capacity left
};

// concatenated: f and P over the tokens of all layers, then the product.
enum class LayerReduction { sum, mean, concatenated };

// Of the z-loss over layers.
enum class ZReduction { sum, mean };
std::span<const Named<Counts>> names_of(Counts);
std::span<const Named<LayerReduction>> names_of(LayerReduction);
std::span<const Named<ZReduction>> names_of(ZReduction);

struct BalanceLossKind;

// The name of a balance loss, looked up once: where it is read.
class BalanceLossName {
 public:
  BalanceLossName() = default;               // of none
  BalanceLossName(const std::string& name);  // std::logic_error for an unknown one
  BalanceLossName(const char* name) : BalanceLossName(std::string(name)) {}
  const BalanceLossKind& kind() const;  // std::logic_error of none
  std::string text() const;             // "" of none
  bool operator==(const BalanceLossName&) const = default;

 private:
  const BalanceLossKind* kind_ = nullptr;
};
void read_value(const ConfigNode& node, const std::string& path, BalanceLossName& out);  // ConfigError with the names
Json to_json(const BalanceLossName& name);
inline std::string type_of(const BalanceLossName&) { return "string"; }

// [model.balance]: one loss. Without reduce and counts those of its source hold.
struct BalanceTerm {
  BalanceLossName loss;
  double coefficient = 0.0;  // must be given in a list
  std::optional<LayerReduction> reduce = {};
  std::optional<Counts> counts = {};
  int64_t group_size = 0;  // of losses that look at groups: most tokens a group; 0 = the micro-batch
  static void visit_fields(auto& term, auto&& field) {
    field("loss", term.loss, {"balance loss; a list of tables for several", "", "none"});
    field("coefficient", term.coefficient, "its weight in the loss");
    field("reduce", term.reduce,
          "over layers: sum or mean; concatenated where f and P are taken over the tokens of all layers");
    field("counts", term.counts,
          "assignments counted: plain (the k largest logits), actual (the router's) or kept (what drops left); first "
          "(choices) of losses that are made of them");
    field("group_size", term.group_size, {"most tokens a group; 0 = the micro-batch", "tokens"});
  }
};
struct BalanceConfig {
  std::vector<BalanceTerm>
      terms;  // `loss = "switch"` with its keys beside it, or `loss = [{loss, coefficient, ...}, ...]`
  double z_coefficient = 0.0;
  ZReduction z_reduce = ZReduction::sum;
};
// ConfigError for unknown names and keys, for a loss named twice and for a key that contradicts its loss.
void read_value(const ConfigNode& node, const std::string& path, BalanceConfig& out);
Json to_json(const BalanceConfig& config);  // every key, with the source's value where none was given
inline std::string type_of(const BalanceConfig&) { return "table"; }
void list_keys(const BalanceConfig& config, const std::string& path,
               std::vector<ConfigKey>& out);  // of every loss, with its source's values

// One row of the table.
struct BalanceLossKind {
  const char* name;
  const char* source;
  Counts counts;
  bool divides_by_k;  // d = k; otherwise 1
  Scope scope;        // sequence, micro_batch or step: the tokens that one product f * P is made from
  bool has_groups;    // group_size cuts the micro-batch
  LayerReduction layers;
  double score_floor = 0;  // added to each score that is no softmax, before they are normalised
  // The loss with its source's settings on one micro-batch, taken as a whole step. decisions: of all MoE layers.
  at::Tensor compute(const std::vector<RoutingDecision>& decisions) const;
};
const std::vector<BalanceLossKind>& balance_loss_kinds();
// The row of term.loss with the term's reduce and counts.
BalanceLossKind kind_of(const BalanceTerm& term);

// What a loss of step scope counts: sums over the micro-batches of a step so far, and over ranks.
struct LayerLoad {
  at::Tensor assignments;  // [E] i64
  at::Tensor n_tokens;     // f64 scalar, without padding
};
using StepLoad = std::vector<LayerLoad>;  // one for each MoE layer
// Counts of one micro-batch as the term makes them.
StepLoad count_load(const BalanceTerm& term, const std::vector<RoutingDecision>& decisions);
void add_load(StepLoad& total, const StepLoad& more);  // an empty total takes `more`

struct BalanceInput {
  const std::vector<RoutingDecision>& decisions;  // of all MoE layers, one micro-batch
  // For losses of step scope: f comes from these counts, this micro-batch's included. nullptr: from this micro-batch
  // alone.
  const StepLoad* step_load = nullptr;
};
// Scalar in the dtype of the logits, without the coefficient. Zero without tokens. A layer without logits (a router
// without a matrix) adds nothing. `actual` and `kept` of a router that does not give k experts to every token divide by
// d and T all the same, so that the minimum is assignments / (T d).
at::Tensor balance_loss(const BalanceTerm& term, const BalanceInput& input);

// mean over tokens of (logsumexp_e l_te)^2 (ST-MoE, arXiv 2202.08906, eq. 5), summed or averaged over layers. Padding
// and layers without logits as above.
at::Tensor z_loss(const std::vector<RoutingDecision>& decisions, bool mean_over_layers);

}  // namespace evenkeel::moe
