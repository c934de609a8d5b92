#include "optim/adamw.h"

#include <map>
#include <tuple>

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>

namespace evenkeel::optim {

namespace {
constexpr Named<Decay> kDecays[] = {{"matrices", Decay::matrices}, {"all", Decay::all}};
}  // namespace
std::span<const Named<Decay>> names_of(Decay) { return kDecays; }

void check_optimizer_config(const OptimizerConfig& config, const ConfigNode& given) {
  const auto check = [&](bool holds, const char* key, const auto& value, const char* need) {
    require<ConfigError>(holds, got_at(place_of(given, key), std::string("optimizer.") + key), value, "; need ", need);
  };
  check(config.kind == "adamw", "kind", config.kind, "adamw");
  check(config.betas.size() == 2, "betas", to_json(config.betas).dump(), "two numbers");
  for (const double beta : config.betas) check(beta >= 0 && beta < 1, "betas", beta, "0 <= beta < 1");
  check(config.eps > 0, "eps", config.eps, "more than 0");
  check(config.weight_decay >= 0, "weight_decay", config.weight_decay, "0 or more");
  check(config.clip_norm >= 0, "clip_norm", config.clip_norm, "0 (no clipping) or more");
}

AdamState initial_adam_state(const ops::Params& params) {
  AdamState state;
  for (const auto& [name, tensor] : params) {
    state.first.add(name, at::zeros_like(tensor, tensor.options().requires_grad(false)));
    state.second.add(name, at::zeros_like(tensor, tensor.options().requires_grad(false)));
  }
  state.updates.assign(params.size(), 0);
  return state;
}

void clip_gradients(const std::vector<at::Tensor>& gradients, double norm, double clip_norm) {
  const double scale = clip_norm / (norm + 1e-6);
  if (clip_norm <= 0 || scale >= 1) return;
  for (const auto& gradient : gradients)
    if (gradient.defined()) gradient.mul_(scale);
}

void adamw_update(const UpdateRule& rule, const ops::Params& params, const std::vector<at::Tensor>& gradients,
                  AdamState& state) {
  const OptimizerConfig& config = rule.optimizer;
  struct Group {
    std::vector<at::Tensor> params, gradients, first, second, none, steps;
  };
  std::map<std::tuple<double, double>, Group> groups;  // (learning rate, weight decay)
  for (size_t i = 0; i < params.size(); ++i) {
    const auto &tensor = params.tensor(i), &gradient = gradients[i];
    if (!gradient.defined() || rule.factors.is_frozen(i)) continue;
    const bool decays = config.decay == Decay::all || (tensor.dim() >= 2 && !params.name(i).ends_with("bias"));
    const auto n_updates = static_cast<double>(++state.updates.at(i));
    // Element by element, so that rows of one rate are a parameter of their own.
    for (const auto& range : rule.factors.ranges(i, tensor.size(0))) {
      if (range.factor == 0) continue;
      const auto rows = [&](const at::Tensor& whole) { return whole.narrow(0, range.begin, range.end - range.begin); };
      Group& group = groups[{rule.learning_rate * range.factor, decays ? config.weight_decay : 0.0}];
      group.params.push_back(rows(tensor.detach()));
      group.gradients.push_back(rows(gradient));
      group.first.push_back(rows(state.first.tensor(i)));
      group.second.push_back(rows(state.second.tensor(i)));
      group.steps.push_back(at::full({}, n_updates, tensor.options().dtype(at::kFloat).requires_grad(false)));
    }
  }
  for (auto& [key, group] : groups) {
    const auto [rate, decay] = key;
    at::_fused_adamw_(group.params, group.gradients, group.first, group.second, group.none, group.steps, rate,
                      config.betas[0], config.betas[1], decay, config.eps, /*amsgrad=*/false, /*maximize=*/false);
  }
}

}  // namespace evenkeel::optim
