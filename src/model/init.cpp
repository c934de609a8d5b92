#include "model/init.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>

#include "core/rng.h"
#include "model/layout.h"

namespace evenkeel::model {
namespace {

double standard_deviation(const ModelConfig& config, Role role) {
  const bool is_output = role == Role::attention_out || role == Role::ffn_out;
  const auto n_layers = static_cast<double>(config.n_layers), width = static_cast<double>(config.d_model);
  if (config.init == "small_wang") return is_output ? 2.0 / (n_layers * std::sqrt(width)) : std::sqrt(2.0 / (5.0 * width));
  constexpr double kStd = 0.02;
  return config.init == "scaled_normal" && is_output ? kStd / std::sqrt(2.0 * n_layers) : kStd;
}

at::Tensor normal_tensor(const ParamSpec& spec, double std, double bound, uint64_t seed) {
  auto out = at::empty(spec.shape, at::kFloat);
  float* values = out.mutable_data_ptr<float>();
  const int64_t n = out.numel();
  constexpr int64_t kBlock = 1 << 16;  // one random stream a block
  at::parallel_for(0, (n + kBlock - 1) / kBlock, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      RngStream rng(seed, "init/" + spec.name, static_cast<uint64_t>(block));
      for (int64_t i = block * kBlock; i < std::min(n, (block + 1) * kBlock); ++i) {
        double value = rng.normal();
        while (std::abs(value) > bound) value = rng.normal();
        values[i] = static_cast<float>(value * std);
      }
    }
  });
  return out;
}

}  // namespace

ops::Params init_params(const ModelConfig& config, uint64_t seed) {
  const double bound = config.init == "truncated_normal" ? 3.0 : 1e30;
  ops::Params params;
  for (const auto& spec : parameter_table(config)) {
    params.add(spec.name, spec.role == Role::norm ? at::ones(spec.shape, at::kFloat)
                                                  : normal_tensor(spec, standard_deviation(config, spec.role), bound, seed));
  }
  return params;
}

}  // namespace evenkeel::model
