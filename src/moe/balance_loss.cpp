#include "moe/balance_loss.h"

#include <ATen/ops/bincount.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include "ops/top_k.h"

namespace evenkeel::moe {
namespace {

// [T, 1] of 1 for tokens that count and 0 for padding, and their number.
struct Counted {
  at::Tensor keep;
  double n_tokens;
};
Counted counted(const RoutingDecision& decision) {
  if (!decision.is_padding.defined())
    return {at::ones({decision.n_tokens, 1}, decision.logits.options()), static_cast<double>(decision.n_tokens)};
  const auto keep = decision.is_padding.logical_not().to(decision.logits.scalar_type()).unsqueeze(1);
  return {keep, keep.sum().item<double>()};
}

// [E] number of counted tokens that have the expert among their k largest logits, without gradient.
at::Tensor plain_counts(const RoutingDecision& decision, const at::Tensor& keep) {
  const auto ids = ops::top_k_ids(decision.logits, decision.top_k).reshape({-1});
  return at::bincount(ids, keep.detach().expand({decision.n_tokens, decision.top_k}).reshape({-1}), decision.n_experts)
      .to(decision.logits.scalar_type());
}

at::Tensor zero_like(const std::vector<RoutingDecision>& decisions) {
  return at::zeros({}, decisions.empty() ? at::TensorOptions(at::kFloat) : decisions[0].logits.options());
}

}  // namespace

at::Tensor switch_balance_loss(const std::vector<RoutingDecision>& decisions) {
  auto total = zero_like(decisions);
  for (const auto& decision : decisions) {
    const auto [keep, n_tokens] = counted(decision);
    if (n_tokens == 0) continue;
    const auto probs = at::softmax(decision.logits, 1) * keep;  // [T, E]
    const auto n = plain_counts(decision, keep);                // [E]
    const double scale = static_cast<double>(decision.n_experts) / (static_cast<double>(decision.top_k) * n_tokens * n_tokens);
    total = total + (probs.sum(0) * n).sum() * scale;
  }
  return total;
}

at::Tensor hf_balance_loss(const std::vector<RoutingDecision>& decisions) {
  auto probs_sum = zero_like(decisions), counts = zero_like(decisions);
  double n_tokens = 0;
  for (const auto& decision : decisions) {
    const auto [keep, n] = counted(decision);
    probs_sum = probs_sum + (at::softmax(decision.logits, 1) * keep).sum(0);
    counts = counts + plain_counts(decision, keep);  // summing the slots: they multiply the same P
    n_tokens += n;
  }
  if (n_tokens == 0) return zero_like(decisions);
  return (counts / n_tokens * (probs_sum / n_tokens)).sum() * static_cast<double>(decisions[0].n_experts);
}

at::Tensor z_loss(const std::vector<RoutingDecision>& decisions, bool mean_over_layers) {
  auto total = zero_like(decisions);
  for (const auto& decision : decisions) {
    const auto [keep, n_tokens] = counted(decision);
    if (n_tokens == 0) continue;
    const auto lse = at::logsumexp(decision.logits, {1}, /*keepdim=*/true);  // [T, 1]
    total = total + (lse * lse * keep).sum() / n_tokens;
  }
  return mean_over_layers && !decisions.empty() ? total / static_cast<double>(decisions.size()) : total;
}

#define EVENKEEL_BALANCE_LOSSES(X)                                                                               \
  X("switch", "E/(k T^2) sum_e n_e sum_t p_te, summed over layers; 1 a layer when uniform", switch_balance_loss) \
  X("megatron", "the same: Megatron's aux_loss", switch_balance_loss)                                            \
  X("hf", "transformers' load_balancing_loss_func, layers concatenated; k when uniform", hf_balance_loss)

const std::vector<BalanceLossKind>& balance_loss_kinds() {
#define X(name, help, function) {name, help, function},
  static const std::vector<BalanceLossKind> kinds = {EVENKEEL_BALANCE_LOSSES(X)};
#undef X
  return kinds;
}

namespace {
struct OneTerm {  // [model.balance] with a single loss
  std::string loss;
  double coefficient = 0.01;
  double z_coefficient = 0.0;
  std::string z_reduce = "sum";
  static void visit_fields(auto& config, auto&& field) {
    field("loss", config.loss, "name of the balance loss, or a list of {loss, coefficient}");
    field("coefficient", config.coefficient, "its weight in the loss");
    field("z_coefficient", config.z_coefficient, "weight of the router z-loss");
    field("z_reduce", config.z_reduce, "z-loss over layers: sum or mean");
  }
};

void check_term(const ConfigNode& node, const std::string& path, const BalanceTerm& term) {
  std::string known;
  bool is_known = false;
  for (const auto& kind : balance_loss_kinds()) {
    is_known = is_known || term.loss == kind.name;
    if (!known.empty()) known += ", ";
    known += kind.name;
  }
  require<ConfigError>(is_known, node.where, ": got ", path, ".loss = '", term.loss, "'; need one of: ", known);
  require<ConfigError>(term.coefficient >= 0, node.where, ": got ", path, ".coefficient = ", term.coefficient, "; need at least 0");
}
}  // namespace

void read_value(const ConfigNode& node, const std::string& path, BalanceConfig& out) {
  if (!node.is_table()) fail_kind(node, path, "a table");
  ConfigNode rest = node;
  const ConfigNode* list = node.find("loss");
  const bool is_list = list != nullptr && list->is_list();
  if (is_list) {
    require<ConfigError>(node.find("coefficient") == nullptr, node.where, ": got ", path,
                         ".coefficient beside a list of losses; need the coefficient in each table of the list");
    evenkeel::read_value(*list, path + ".loss", out.terms);
    for (const auto& term : out.terms) check_term(*list, path, term);
    rest.erase("loss");
  }
  OneTerm one;
  evenkeel::read_value(rest, path, one);
  if (!is_list && !one.loss.empty()) {
    out.terms = {{one.loss, one.coefficient}};
    check_term(node, path, out.terms[0]);
  }
  require<ConfigError>(is_list || !one.loss.empty() || node.find("coefficient") == nullptr, node.where, ": got ", path,
                       ".coefficient without ", path, ".loss; need the name of the loss");
  out.z_coefficient = one.z_coefficient;
  out.z_reduce = one.z_reduce;
  require<ConfigError>(out.z_coefficient >= 0, node.where, ": got ", path, ".z_coefficient = ", out.z_coefficient, "; need at least 0");
  require<ConfigError>(out.z_reduce == "sum" || out.z_reduce == "mean", node.where, ": got ", path, ".z_reduce = '",
                       out.z_reduce, "'; need sum or mean");
}

Json to_json(const BalanceConfig& config) {
  Json out = Json::object();
  out["loss"] = evenkeel::to_json(config.terms);
  out["z_coefficient"] = config.z_coefficient;
  out["z_reduce"] = config.z_reduce;
  return out;
}

}  // namespace evenkeel::moe
