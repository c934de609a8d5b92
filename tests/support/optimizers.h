// Optimizers for the tests of a few tensors.
#pragma once

#include <memory>
#include <string>

#include "optim/optimizer.h"

namespace evenkeel::testing {

// Of the keys of [optimizer] as TOML, for tensors that are one matrix or one vector each.
inline std::unique_ptr<optim::Optimizer> optimizer_for(const ops::Params& params, const std::string& toml = "") {
  return optim::make_optimizer({optim::forms_of(params)}, parse_toml(toml, "r.toml", ""));
}

// Those of one kind, as "first", under the names of their parameters.
inline ops::Params moments_of(const optim::OptimizerState& state, const std::string& moment) {
  ops::Params out;
  for (const auto& [name, tensor] : state.moments)
    if (name.starts_with(moment + ".")) out.add(name.substr(moment.size() + 1), tensor);
  return out;
}

}  // namespace evenkeel::testing
