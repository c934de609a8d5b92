// For tests: checkpoints of tiny models of evenkeel's own, as a run writes them, and what a model computes.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>

#include "checkpoint/import.h"
#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "checkpoint/router_states.h"
#include "core/rng.h"
#include "model/layout.h"
#include "model/transformer.h"
#include "ops/noise.h"

namespace evenkeel::checkpoint {

inline model::ModelConfig tiny_model(const std::string& more) {
  return model::read_model_config(
      parse_toml("vocab_size = 19\nd_model = 16\nn_layers = 2\nn_heads = 2\nd_ff = 24\n" + more, "m.toml", ""));
}

// Weights of a spread that lets every part of the model matter.
inline NamedTensors tiny_weights(const model::ModelConfig& config, uint64_t seed) {
  NamedTensors out;
  for (const auto& spec : model::parameter_table(config)) {
    const auto noise = ops::normal_noise(spec.shape, combine_bits(seed, hash_text(spec.name)), at::kFloat);
    out.emplace_back(spec.name, spec.role == model::Role::norm ? noise * 0.1 + 1 : noise * 0.2);
  }
  return out;
}

// With balancing states that are not those of a beginning, in fp32 or `type`.
inline std::filesystem::path save_tiny(const std::filesystem::path& folder, const std::string& more, uint64_t seed = 1,
                                       at::ScalarType type = at::kFloat) {
  const auto config = tiny_model(more);
  save_folder(folder, [&](const fs::path& temporary) {
    NamedTensors params, states;
    for (const auto& [name, tensor] : tiny_weights(config, seed)) params.emplace_back(name, tensor.to(type));
    const auto initial = model::Transformer(config).initial_router_states();
    for (size_t i = 0; i < initial.size(); ++i)
      for (const auto& [name, value] : initial[i])
        states.emplace_back(router_state_name(i, name),
                            value.is_floating_point() ? at::arange(value.numel()) * 0.01 : value + 7);
    write_safetensors(temporary / "model.safetensors", params, {});
    write_safetensors(temporary / "optimizer.safetensors", states, {});
    Json state = untrained_state(config, 16);
    state["step"] = 5;
    std::ofstream(temporary / "state.json") << state.dump();
  });
  return folder;
}

// Logits [B S, V] of a model as it is evaluated, by weights in memory.
inline at::Tensor logits_of(const ModelSource& source, const at::Tensor& tokens) {
  const at::NoGradGuard no_grad;
  const model::Transformer model(source.config);
  const auto params = load_params(source);
  model::ModelInput input{tokens};
  input.mode = moe::Mode::eval;
  return model.forward(params, load_router_states(source, model), input).hidden.matmul(model.head(params).t());
}

}  // namespace evenkeel::checkpoint
