#include "checkpoint/router_states.h"

#include "checkpoint/families.h"
#include "checkpoint/safetensors.h"
#include "core/errors.h"

namespace evenkeel::checkpoint {

namespace {
constexpr const char* kPrefix = "router_state.";
}  // namespace

std::string router_state_name(size_t index, const std::string& name) {
  return kPrefix + std::to_string(index) + "." + name;
}
bool is_router_state(const std::string& tensor_name) { return tensor_name.starts_with(kPrefix); }

std::vector<ops::Params> read_router_states(const fs::path& folder, const model::Transformer& model) {
  const auto states = model.initial_router_states();  // for names, shapes and types
  bool is_empty = true;
  for (const auto& state : states) is_empty = is_empty && state.size() == 0;
  if (is_empty) return states;
  const fs::path file = folder / "optimizer.safetensors";
  const SafetensorsFile tensors(file);
  std::vector<ops::Params> out;
  for (size_t index = 0; index < states.size(); ++index) {
    ops::Params loaded;
    for (const auto& [name, initial] : states[index]) {
      const std::string key = router_state_name(index, name);
      auto tensor = tensors.load(key);
      require<CheckpointError>(tensor.sizes() == initial.sizes() && tensor.scalar_type() == initial.scalar_type(),
                               file.string(), ": got '", key, "' ", c10::toString(tensor.scalar_type()), " ",
                               Json(tensor.sizes().vec()).dump(), "; need ", c10::toString(initial.scalar_type()), " ",
                               Json(initial.sizes().vec()).dump());
      loaded.add(name, std::move(tensor));
    }
    out.push_back(std::move(loaded));
  }
  return out;
}

void put_biases(const std::vector<at::Tensor>& biases, std::vector<ops::Params>& states) {
  for (size_t index = 0; index < states.size() && index < biases.size(); ++index) {
    ops::Params state;
    for (const auto& [name, tensor] : states[index]) state.add(name, name == "bias" ? biases[index] : tensor);
    states[index] = std::move(state);
  }
}

void take_biases(const ModelSource& source, const model::Transformer& model, std::vector<ops::Params>& states) {
  const auto has_bias = [](const moe::Router* router) {
    return router != nullptr && router->options().at("kind") == Json("loss_free");
  };
  if (source.kind == "checkpoint" || !has_bias(model.router())) return;
  if (!has_bias(model::Transformer(source.config).router())) return;
  put_biases(read_hf_biases(source.folder, read_hf_config(source.folder)), states);
}

std::vector<ops::Params> load_router_states(const ModelSource& source, const model::Transformer& model) {
  if (source.kind == "checkpoint") return read_router_states(source.folder, model);
  auto states = model.initial_router_states();
  take_biases(source, model, states);
  return states;
}

}  // namespace evenkeel::checkpoint
