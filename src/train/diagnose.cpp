#include "train/diagnose.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/sqrt.h>
#include <torch/csrc/autograd/autograd.h>

namespace evenkeel::train {
namespace {

// The largest absolute gradient of `loss` on each of `weights`; 0 where there is no path.
std::vector<double> largest_gradients(const at::Tensor& loss, const std::vector<at::Tensor>& weights) {
  std::vector<double> out(weights.size(), 0.0);
  if (!loss.requires_grad() || weights.empty()) return out;
  const auto grads = torch::autograd::grad({loss}, weights, {}, /*retain_graph=*/true, /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t i = 0; i < grads.size(); ++i)
    if (grads[i].defined()) out[i] = grads[i].abs().max().item<double>();
  return out;
}

// Where loads are even whatever the router says, the gradient of a balance loss cancels to the rounding of its terms: each expert's
// part of a layer's loss, times hidden states of size 1. In fp32 up to 6e-8 of that is left; two loads that are one token off, of
// 8,192 tokens, leave 2e-5, and the loads of a random router 7e-4 and more.
double rounding_of(const at::Tensor& loss, const MicroLosses& losses) {
  constexpr double kCancelled = 1e-6;
  const auto n_layers = static_cast<double>(losses.routing.size()), n_experts = static_cast<double>(losses.routing.at(0).n_experts);
  return kCancelled * std::abs(loss.item<double>()) / (n_layers * n_experts);
}

// "layers 0, 2", or nothing.
std::string named(const std::vector<int64_t>& layers) {
  std::string out;
  for (const int64_t layer : layers) out += (out.empty() ? (layers.size() > 1 ? "layers " : "layer ") : ", ") + std::to_string(layer);
  return out;
}

// Of few tokens chance alone can agree; a router that is uneven at its start (random logits with a liking for some experts) sends
// half to three quarters of its tokens to one. Where an even load is more than half of the tokens, all of them on one expert is near it.
std::optional<Collapse::Kind> collapse_of(const analysis::RoutingCounts& counts) {
  constexpr int64_t kFewestTokens = 32;
  constexpr double kNearlyAll = 0.98;
  if (counts.n_tokens < kFewestTokens || counts.n_experts <= counts.top_k) return std::nullopt;
  auto loads = counts.tokens_per_expert;
  std::sort(loads.begin(), loads.end(), std::greater<>());
  int64_t largest = 0, all = 0;
  for (size_t i = 0; i < loads.size(); ++i) {
    all += loads[i];
    if (i < static_cast<size_t>(counts.top_k)) largest += loads[i];
  }
  if (static_cast<double>(largest) >= kNearlyAll * static_cast<double>(all)) return Collapse::Kind::same_experts;
  const bool has_one = static_cast<double>(loads[0]) >= kNearlyAll * static_cast<double>(counts.n_tokens);
  return has_one && 2 * counts.top_k <= counts.n_experts ? std::optional(Collapse::Kind::one_expert) : std::nullopt;
}

// Have the scores of a router that scores each expert by itself shrunk to nothing? Balance losses see scores that are divided by
// their sum, so shrinking all together costs nothing there. They begin near 1/2 (sigmoid) or 0.8 (sqrtsoftplus) an expert.
// Below 0.01 k over all E the k chosen ones weigh less than 1 % each, or a renormalisation multiplies them by more than 100.
bool has_no_scores(const moe::RoutingDecision& decision) {
  constexpr double kLeast = 0.01;
  if (decision.score == moe::Score::softmax || !decision.logits.defined() || decision.n_tokens == 0) return false;
  const auto logits = decision.logits.detach();
  const auto scores = decision.score == moe::Score::sigmoid ? at::sigmoid(logits) : at::sqrt(at::softplus(logits));
  return scores.sum(1).mean().item<double>() < kLeast * static_cast<double>(decision.top_k);
}

}  // namespace

std::vector<Collapse> find_collapse(const std::vector<analysis::RoutingCounts>& routing) {
  std::vector<Collapse> out;
  for (const auto& counts : routing)
    if (const auto kind = collapse_of(counts)) out.push_back({counts.layer, *kind});
  return out;
}

namespace {

std::vector<Collapse> shrunk_scores(const std::vector<moe::RoutingDecision>& routing) {
  std::vector<Collapse> out;
  for (const auto& decision : routing)
    if (has_no_scores(decision)) out.push_back({decision.layer, Collapse::Kind::no_scores});
  return out;
}

}  // namespace

std::vector<Collapse> find_shrunk_scores(const model::Transformer& model, const data::Batch& batch, const TrainState& state) {
  if (!model.config().is_moe()) return {};
  const at::NoGradGuard no_grad;
  return shrunk_scores(micro_losses(model, state, batch).routing);
}

namespace {
constexpr std::pair<Collapse::Kind, const char*> kKindNames[] = {{Collapse::Kind::one_expert, "one_expert"}, {Collapse::Kind::same_experts, "same_experts"}, {Collapse::Kind::no_scores, "no_scores"}};
}  // namespace

Json alarms_json(const std::vector<Collapse>& found, const model::ModelConfig& config) {
  Json out = Json::array();
  for (const auto& collapse : found)
    for (const auto& [kind, name] : kKindNames)
      if (kind == collapse.kind) out.push_back(Json::Object{{"layer", collapse.layer}, {"kind", name}, {"text", collapse_sentences({collapse}, config).at(0)}});
  return out;
}

std::set<Collapse> alarms_of_phase(const std::vector<Json>& lines, const std::string& phase) {
  std::set<Collapse> out;
  for (const auto& line : lines) {
    const Json* alarms = line.find("alarms");
    if (alarms == nullptr || line.at("phase").as_string() != phase) continue;
    for (const auto& alarm : alarms->as_array())
      for (const auto& [kind, name] : kKindNames)
        if (alarm.at("kind").as_string() == name) out.insert({alarm.at("layer").as_int(), kind});
  }
  return out;
}

std::vector<std::string> collapse_sentences(const std::vector<Collapse>& found, const model::ModelConfig& config) {
  const std::string share = std::to_string(config.top_k) + " of " + std::to_string(config.n_experts) + " experts";
  const std::vector<std::pair<Collapse::Kind, std::string>> texts = {
      {Collapse::Kind::same_experts, "nearly all tokens have the same " + share + "; the others learn nothing (look at the balance loss and at the data)"},
      {Collapse::Kind::one_expert, "nearly all tokens have one and the same expert among their " + share + "; it is no choice any more (look at the balance loss and at the data)"},
      {Collapse::Kind::no_scores, "the router's scores have shrunk to nearly 0, which a balance loss of normalised scores does not see; the experts count for nothing (lower its coefficient, or take a softmax)"}};
  std::vector<std::string> sentences;
  for (const auto& [kind, text] : texts) {
    std::vector<int64_t> layers;
    for (const auto& collapse : found)
      if (collapse.kind == kind) layers.push_back(collapse.layer);
    if (!layers.empty()) sentences.push_back("routing check: " + named(layers) + ": " + text);
  }
  return sentences;
}

std::vector<std::string> diagnose(const model::Transformer& model, const optim::RateFactors& factors, const data::Batch& batch, const TrainState& state) {
  std::vector<std::string> findings;
  const auto& config = model.config();
  if (!config.is_moe()) return findings;
  std::vector<std::string> names;
  std::vector<at::Tensor> weights;
  for (const auto& [name, tensor] : state.params) {
    if (optim::matches_pattern(name, "layers.*.router.weight") && tensor.requires_grad()) {  // a frozen one is meant to be still
      names.push_back(name);
      weights.push_back(tensor);
    }
  }
  const auto losses = micro_losses(model, state, batch);
  const auto from_cross_entropy = largest_gradients(losses.cross_entropy_sum, weights);
  for (size_t i = 0; i < names.size(); ++i) {
    const auto factor = factors.find(names[i]);
    const bool is_frozen = factor != factors.end() && factor->second == 0;
    if (!is_frozen && from_cross_entropy[i] == 0)  // without a path it is 0 to the bit: nothing has to cancel
      findings.push_back("step 0 check: " + names[i] + " gets no gradient from the cross-entropy; its weights cannot learn what the experts are good at");
  }
  bool balances = false;
  for (const auto& [term, value] : losses.auxiliary) {
    if (term.coefficient == 0) continue;
    balances = balances || term.name != "z";
    const auto gradients = largest_gradients(value, weights);
    for (size_t i = 0; i < names.size(); ++i)
      if (gradients[i] <= rounding_of(value, losses))
        findings.push_back("step 0 check: the " + term.name + " loss with coefficient " + format_double(term.coefficient) + " gives no gradient to " + names[i] + "; the coefficient changes nothing there");
  }
  if (!model.router()->traits().causal_eval)
    findings.push_back("model.router: '" + model.router()->options().at("kind").as_string() +
                       "' is not causal: a token's experts depend on later tokens of its sequence, in training and evaluation; losses are not those of generating token by token");
  if (model.router()->traits().needs_balance && !balances && model.config().top_k < model.config().n_experts)
    findings.push_back("model.balance: the router '" + model.router()->options().at("kind").as_string() +
                       "' has no balance loss; the load is expected to collapse onto few experts");
  std::vector<analysis::RoutingCounts> counts;
  analysis::add_counts(counts, losses.routing);
  auto collapsed = find_collapse(counts);
  for (const auto& shrunk : shrunk_scores(losses.routing)) collapsed.push_back(shrunk);
  for (auto& sentence : collapse_sentences(collapsed, config)) findings.push_back(std::move(sentence));
  return findings;
}

}  // namespace evenkeel::train
