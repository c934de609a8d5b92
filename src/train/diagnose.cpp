#include "train/diagnose.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include <torch/csrc/autograd/autograd.h>

#include "core/log.h"
#include "record/run_reader.h"

namespace evenkeel::train {
namespace {

// The largest absolute gradient of `loss` on each of `weights`; 0 where there is no path.
std::vector<double> largest_gradients(const at::Tensor& loss, const std::vector<at::Tensor>& weights) {
  std::vector<double> out(weights.size(), 0.0);
  if (!loss.requires_grad() || weights.empty()) return out;
  const auto grads =
      torch::autograd::grad({loss}, weights, {}, /*retain_graph=*/true, /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t i = 0; i < grads.size(); ++i)
    if (grads[i].defined()) out[i] = grads[i].abs().max().item<double>();
  return out;
}

// Where loads are even whatever the router says, the gradient of a balance loss cancels to the rounding of its terms:
// each expert's part of a layer's loss, times hidden states of size 1. In fp32 up to 6e-8 of that is left; two loads
// that are one token off, of 8,192 tokens, leave 2e-5, and the loads of a random router 7e-4 and more.
double rounding_of(const at::Tensor& loss, const MicroLosses& losses) {
  constexpr double kCancelled = 1e-6;
  const auto n_layers = static_cast<double>(losses.routing.size()),
             n_experts = static_cast<double>(losses.routing.at(0).n_experts);
  return kCancelled * std::abs(loss.item<double>()) / (n_layers * n_experts);
}

// The matrix of a router that learns.
struct Matrix {
  int64_t layer = 0;
  std::string name;
};

// "layers 0, 2", or nothing.
std::string named(const std::vector<int64_t>& layers) {
  std::string out;
  for (const int64_t layer : layers)
    out += (out.empty() ? (layers.size() > 1 ? "layers " : "layer ") : ", ") + std::to_string(layer);
  return out;
}

// Of few tokens chance alone can agree; a router that is uneven at its start (random logits with a liking for some
// experts) sends half to three quarters of its tokens to one. Where an even load is more than half of the tokens, all
// of them on one expert is near it.
std::optional<Alarm::Kind> collapse_of(const analysis::RoutingCounts& counts) {
  if (counts.n_tokens < Alarm::kFewestTokens || counts.n_experts <= counts.top_k) return std::nullopt;
  auto loads = counts.tokens_per_expert;
  std::sort(loads.begin(), loads.end(), std::greater<>());
  int64_t largest = 0, all = 0;
  for (size_t i = 0; i < loads.size(); ++i) {
    all += loads[i];
    if (i < static_cast<size_t>(counts.top_k)) largest += loads[i];
  }
  if (static_cast<double>(largest) >= Alarm::kNearlyAll * static_cast<double>(all)) return Alarm::Kind::same_experts;
  const bool has_one = static_cast<double>(loads[0]) >= Alarm::kNearlyAll * static_cast<double>(counts.n_tokens);
  return has_one && 2 * counts.top_k <= counts.n_experts ? std::optional(Alarm::Kind::one_expert) : std::nullopt;
}

// Have the scores of a router that scores each expert by itself shrunk to nothing? Balance losses see scores that are
// divided by their sum, so shrinking all together costs nothing there. They begin near 1/2 (sigmoid) or 0.8
// (sqrtsoftplus) an expert. Below 0.01 k over all E the k chosen ones weigh less than 1 % each, or a renormalisation
// multiplies them by more than 100.
bool has_no_scores(double token_score, int64_t top_k) {
  constexpr double kLeast = 0.01;
  return token_score < kLeast * static_cast<double>(top_k);  // never of NaN
}

}  // namespace

std::vector<Alarm> find_collapse(const std::vector<analysis::RoutingCounts>& routing,
                                 const std::vector<double>& token_scores) {
  std::vector<Alarm> out;
  for (const auto& counts : routing) {
    const auto kind = collapse_of(counts);
    if (!kind) continue;
    const std::string share = std::to_string(counts.top_k) + " of " + std::to_string(counts.n_experts) + " experts";
    out.push_back({counts.layer, *kind,
                   *kind == Alarm::Kind::same_experts
                       ? "nearly all tokens have the same " + share +
                             "; the others learn nothing (look at the balance loss and at the data)"
                       : "nearly all tokens have one and the same expert among their " + share +
                             "; it is no choice any more (look at the balance loss and at the data)"});
  }
  for (size_t i = 0; i < routing.size(); ++i)
    if (has_no_scores(token_scores.at(i), routing[i].top_k))
      out.push_back({routing[i].layer, Alarm::Kind::no_scores,
                     "the router's scores have shrunk to nearly 0, which a balance loss of normalised scores does not "
                     "see; the experts count for nothing (lower its coefficient, or take a softmax)"});
  return out;
}

std::set<Alarm> alarms_of_phase(const std::filesystem::path& metrics, const std::string& phase) {
  std::set<Alarm> out;
  record::RunReader reader(metrics);
  while (const auto line = reader.next())
    if (const auto* step = std::get_if<record::StepRow>(&*line); step != nullptr && step->phase == phase)
      out.insert(step->alarms.begin(), step->alarms.end());
  return out;
}

std::vector<Alarm> AlarmWatch::add(const std::vector<Alarm>& found, const std::string& when) {
  std::vector<Alarm> fresh;
  for (const auto& alarm : found)
    if (warned_of_.insert(alarm).second) fresh.push_back(alarm);
  for (const auto& sentence : alarm_sentences(fresh)) log_warning(when, sentence);
  return fresh;
}

std::vector<std::string> alarm_sentences(const std::vector<Alarm>& alarms) {
  std::vector<std::string> sentences;
  std::set<std::string> said;
  for (const auto& alarm : alarms) {
    if (!said.insert(alarm.text).second) continue;
    std::vector<int64_t> layers;
    for (const auto& other : alarms)
      if (other.text == alarm.text) layers.push_back(other.layer.value_or(0));
    sentences.push_back(alarm.is_collapse() ? "routing check: " + named(layers) + ": " + alarm.text : alarm.text);
  }
  return sentences;
}

std::vector<Alarm> diagnose(const model::Transformer& model, const data::Batch& batch, const TrainState& state) {
  std::vector<Alarm> findings;
  const auto& config = model.config();
  if (!config.is_moe()) return findings;
  const auto losses = micro_losses(model, {state.params, state.router_states}, batch, next_step(state));
  std::vector<Matrix> matrices;
  std::vector<at::Tensor> weights;
  for (size_t i = 0; i < losses.routing.size(); ++i) {
    const auto place = model.router_matrix(i);
    if (!place || !state.params.tensor(*place).requires_grad()) continue;  // a frozen one is meant to be still
    matrices.push_back({losses.routing[i].layer, state.params.name(*place)});
    weights.push_back(state.params.tensor(*place));
  }
  const auto from_cross_entropy = largest_gradients(losses.head_sum, weights);
  for (size_t i = 0; i < matrices.size(); ++i)
    if (from_cross_entropy[i] == 0)  // without a path it is 0 to the bit: nothing has to cancel
      findings.push_back(
          {matrices[i].layer, Alarm::Kind::no_gradient,
           "step 0 check: " + matrices[i].name +
               " gets no gradient from the cross-entropy; its weights cannot learn what the experts are good at"});
  bool balances = false;
  for (const auto& [term, value] : losses.auxiliary) {
    if (term.coefficient == 0) continue;
    balances = balances || term.name != "z";
    const auto gradients = largest_gradients(value, weights);
    for (size_t i = 0; i < matrices.size(); ++i)
      if (gradients[i] <= rounding_of(value, losses))
        findings.push_back({matrices[i].layer, Alarm::Kind::no_effect,
                            "step 0 check: the " + term.name + " loss with coefficient " +
                                format_double(term.coefficient) + " gives no gradient to " + matrices[i].name +
                                "; the coefficient changes nothing there"});
  }
  const std::string kind = "'" + model.router()->options().at("kind").as_string() + "'";
  if (!model.router()->traits().causal_eval)
    findings.push_back({Alarm::kAllLayers, Alarm::Kind::not_causal,
                        "model.router: " + kind +
                            " is not causal: a token's experts depend on later tokens of its sequence, in training and "
                            "evaluation; losses are not those of generating token by token"});
  if (model.router()->traits().needs_balance && !balances && config.top_k < config.n_experts)
    findings.push_back({Alarm::kAllLayers, Alarm::Kind::no_balance,
                        "model.balance: the router " + kind +
                            " has no balance loss; the load is expected to collapse onto few experts"});
  std::vector<analysis::RoutingCounts> counts;
  analysis::add_counts(counts, losses.routing);
  std::vector<double> token_scores;
  for (const auto& decision : losses.routing) {
    const auto score = token_score(decision);
    token_scores.push_back(score.defined() ? score.item<double>() : NAN);
  }
  for (auto& collapse : find_collapse(counts, token_scores)) findings.push_back(std::move(collapse));
  return findings;
}

}  // namespace evenkeel::train
