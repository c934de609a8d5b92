#include "optim/optimizer.h"

#include <ATen/ops/zeros.h>

namespace evenkeel::optim {

std::vector<ParamForm> forms_of(const ops::Params& params) {
  std::vector<ParamForm> out;
  for (const auto& [name, tensor] : params) out.push_back({name, tensor.sizes().vec()});
  return out;
}

double Optimizer::moment_floats() const {
  double sum = 0;
  for (const auto& form : moment_forms_) {
    double n = 1;
    for (const int64_t size : form.shape) n *= static_cast<double>(size);
    sum += n;
  }
  return sum;
}

size_t Optimizer::add_moment(std::string name, std::vector<int64_t> shape) {
  moment_forms_.push_back({std::move(name), std::move(shape)});
  return moment_forms_.size() - 1;
}

OptimizerState initial_optimizer_state(const Optimizer& optimizer, const ops::Params& params) {
  OptimizerState state;
  state.kind = optimizer.options().at("kind").as_string();
  for (const auto& form : optimizer.moment_forms())
    state.moments.add(form.name, at::zeros(form.shape, params.tensor(0).options().requires_grad(false)));
  state.updates.assign(params.size(), 0);
  return state;
}

}  // namespace evenkeel::optim
