// Optimizers: how gradients change the parameters. A kind is one file in optim and one line in its registry.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/kinds.h"
#include "ops/packing.h"
#include "ops/params.h"
#include "optim/rate_factors.h"

namespace evenkeel::optim {

// A parameter as an optimizer sees it.
struct ParamForm {
  std::string name;
  std::vector<int64_t> shape;
  ops::Packing packing = {};  // the matrices in it
};
// Of tensors that are one matrix or one vector each.
std::vector<ParamForm> forms_of(const ops::Params& params);

// A tensor that an optimizer keeps from step to step.
struct MomentForm {
  std::string name;  // "first.embedding.weight"
  std::vector<int64_t> shape;
};

// Everything that an optimizer remembers. A checkpoint holds it, to the bit.
struct OptimizerState {
  std::string kind;
  ops::Params moments;  // those of Optimizer::moment_forms, of the parameters' type
  std::vector<int64_t>
      updates;  // how many each parameter has had, in their order; it does not count where it is frozen
};

// How fast the parameters learn in a step. What it refers to must outlive it.
struct Rates {
  double learning_rate = 0;
  const RateFactors& factors;
  double of(size_t parameter) const { return learning_rate * factors.of(parameter); }
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  virtual Json options() const = 0;  // every option with its value, `kind` among them
  // Largest global gradient norm; 0: gradients are not clipped (clip_gradients, optim/gradient_norm.h).
  virtual double clip_norm() const = 0;
  // In the order of a checkpoint.
  const std::vector<MomentForm>& moment_forms() const { return moment_forms_; }
  double moment_floats() const;  // of all of them together
  // Floats that an update has in hand at most, beside parameters, gradients and moments.
  virtual double floats_in_hand() const { return 0; }
  // One update in place. gradients[i] belongs to the i-th parameter; undefined = no gradient: then the parameter is
  // left as it is, with its moments and its count, decay included. A frozen parameter is left too.
  virtual void update(const Rates& rates, const ops::Params& params, const std::vector<at::Tensor>& gradients,
                      OptimizerState& state) const = 0;

 protected:
  size_t add_moment(std::string name, std::vector<int64_t> shape);  // its place in OptimizerState::moments

 private:
  std::vector<MomentForm> moment_forms_;
};

// The parameters that an optimizer is made for, in the order of the model's table.
struct OptimizerPlace {
  std::vector<ParamForm> parameters;
};
using OptimizerFactory = KindFactory<Optimizer, OptimizerPlace>;
using OptimizerKind = Kind<Optimizer, OptimizerPlace>;
inline constexpr KindTable kOptimizerTable{"optimizer", "adamw"};

const std::vector<OptimizerKind>& optimizer_kinds();  // in the order of the registry
// `config` is [optimizer], or empty. ConfigError names unknown kinds, unknown keys and values out of range.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerPlace& place, const ConfigNode& config);
std::vector<ConfigKey> optimizer_keys(const std::string& path);  // of all kinds

// Moments of 0, of the parameters' type and on their device.
OptimizerState initial_optimizer_state(const Optimizer& optimizer, const ops::Params& params);

}  // namespace evenkeel::optim
