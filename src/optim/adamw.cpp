// AdamW with decoupled weight decay (arXiv 1711.05101, algorithm 2).
#include <map>
#include <tuple>

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>

#include "optim/optimizer.h"

namespace evenkeel::optim {
namespace {

// Which parameters the weight decay acts on: those of two or more dimensions, but for the biases of experts, or all.
enum class Decay { matrices, all };
constexpr Named<Decay> kDecays[] = {{"matrices", Decay::matrices}, {"all", Decay::all}};
std::span<const Named<Decay>> names_of(Decay) { return kDecays; }

struct AdamWOptions {
  std::vector<double> betas = {0.9, 0.95};
  double eps = 1e-8;
  double weight_decay = 0.1;
  Decay decay = Decay::matrices;
  double clip_norm = 1.0;
  static void visit_fields(auto& options, auto&& field) {
    field("betas", options.betas, "decay of the first and of the second moment");
    field("eps", options.eps, "added to the root of the second moment");
    field("weight_decay", options.weight_decay, "decoupled weight decay");
    field("decay", options.decay, "matrices (two or more dimensions, without the experts' biases) or all");
    field("clip_norm", options.clip_norm, "largest global gradient norm; 0 = no clipping");
  }
};

class AdamW : public Optimizer {
 public:
  AdamW(const std::vector<ParamForm>& parameters, AdamWOptions options)
      : options_(std::move(options)), n_parameters_(parameters.size()) {
    for (const char* moment : {"first.", "second."})
      for (const auto& parameter : parameters) add_moment(moment + parameter.name, parameter.shape);
  }
  Json options() const override { return evenkeel::to_json(WithKind{"adamw", options_}); }
  double clip_norm() const override { return options_.clip_norm; }

  // Bias correction counts a parameter's own updates.
  void update(const Rates& rates, const ops::Params& params, const std::vector<at::Tensor>& gradients,
              OptimizerState& state) const override {
    struct Group {
      std::vector<at::Tensor> params, gradients, first, second, none, steps;
    };
    std::map<std::tuple<double, double>, Group> groups;  // (learning rate, weight decay)
    for (size_t i = 0; i < params.size(); ++i) {
      const auto &tensor = params.tensor(i), &gradient = gradients[i];
      if (!gradient.defined() || rates.factors.is_frozen(i)) continue;
      const bool decays = options_.decay == Decay::all || (tensor.dim() >= 2 && !params.name(i).ends_with("bias"));
      const auto n_updates = static_cast<double>(++state.updates.at(i));
      // Element by element, so that rows of one rate are a parameter of their own.
      for (const auto& range : rates.factors.ranges(i, tensor.size(0))) {
        if (range.factor == 0) continue;
        const auto rows = [&](const at::Tensor& whole) {
          return whole.narrow(0, range.begin, range.end - range.begin);
        };
        Group& group = groups[{rates.learning_rate * range.factor, decays ? options_.weight_decay : 0.0}];
        group.params.push_back(rows(tensor.detach()));
        group.gradients.push_back(rows(gradient));
        group.first.push_back(rows(state.moments.tensor(i)));
        group.second.push_back(rows(state.moments.tensor(n_parameters_ + i)));
        group.steps.push_back(at::full({}, n_updates, tensor.options().dtype(at::kFloat).requires_grad(false)));
      }
    }
    for (auto& [key, group] : groups) {
      const auto [rate, decay] = key;
      at::_fused_adamw_(group.params, group.gradients, group.first, group.second, group.none, group.steps, rate,
                        options_.betas[0], options_.betas[1], decay, options_.eps, /*amsgrad=*/false,
                        /*maximize=*/false);
    }
  }

 private:
  AdamWOptions options_;
  size_t n_parameters_;
};

std::unique_ptr<Optimizer> make(const OptimizerPlace& place, AdamWOptions options, const ConfigNode& config) {
  const auto check = [&](bool holds, const char* key, const auto& value, const char* need) {
    require<ConfigError>(holds, got_at(place_of(config, key), join_path(kOptimizerTable.path, key)), value, "; need ",
                         need);
  };
  check(options.betas.size() == 2, "betas", evenkeel::to_json(options.betas).dump(), "two numbers");
  for (const double beta : options.betas) check(beta >= 0 && beta < 1, "betas", beta, "0 <= beta < 1");
  check(options.eps > 0, "eps", options.eps, "more than 0");
  check(options.weight_decay >= 0, "weight_decay", options.weight_decay, "0 or more");
  check(options.clip_norm >= 0, "clip_norm", options.clip_norm, "0 (no clipping) or more");
  return std::make_unique<AdamW>(place.parameters, std::move(options));
}

}  // namespace

OptimizerFactory adamw_optimizer() { return kind_factory(kOptimizerTable, make); }

}  // namespace evenkeel::optim
