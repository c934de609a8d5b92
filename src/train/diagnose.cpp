#include "train/diagnose.h"

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

}  // namespace

std::vector<std::string> diagnose(const model::Transformer& model, const optim::RateFactors& factors, const data::Batch& batch, const TrainState& state) {
  std::vector<std::string> findings;
  const auto& config = model.config();
  if (!config.is_moe()) return findings;
  std::vector<std::string> names;
  std::vector<at::Tensor> weights;
  for (const auto& [name, tensor] : state.params)
    if (optim::matches_pattern(name, "layers.*.router.weight") && tensor.requires_grad()) {  // a frozen one is meant to be still
      names.push_back(name);
      weights.push_back(tensor);
    }
  const auto losses = micro_losses(model, state, batch);
  const auto from_cross_entropy = largest_gradients(losses.cross_entropy_sum, weights);
  for (size_t i = 0; i < names.size(); ++i) {
    const auto factor = factors.find(names[i]);
    const bool is_frozen = factor != factors.end() && factor->second == 0;
    if (!is_frozen && from_cross_entropy[i] == 0)
      findings.push_back("step 0 check: " + names[i] + " gets no gradient from the cross-entropy; its weights cannot learn what the experts are good at");
  }
  bool balances = false;
  for (const auto& [term, value] : losses.auxiliary) {
    if (term.coefficient == 0) continue;
    balances = balances || term.name != "z";
    const auto gradients = largest_gradients(value, weights);
    for (size_t i = 0; i < names.size(); ++i)
      if (gradients[i] == 0) findings.push_back("step 0 check: the " + term.name + " loss with coefficient " + format_double(term.coefficient) + " gives no gradient to " + names[i] + "; the coefficient changes nothing there");
  }
  if (!model.router()->traits().causal_eval)
    findings.push_back("model.router: '" + model.router()->options().at("kind").as_string() +
                       "' is not causal: a token's experts depend on later tokens of its sequence, in training and evaluation; losses are not those of generating token by token");
  if (model.router()->traits().needs_balance && !balances)
    findings.push_back("model.balance: the router '" + model.router()->options().at("kind").as_string() +
                       "' has no balance loss; the load is expected to collapse onto few experts");
  return findings;
}

}  // namespace evenkeel::train
