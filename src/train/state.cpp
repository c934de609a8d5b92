#include "train/state.h"

#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "checkpoint/origin.h"
#include "checkpoint/router_states.h"
#include "checkpoint/safetensors.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "model/init.h"
#include "train/new_rows.h"
#include "train/phase.h"
#include "train/tokenizer_uses.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;
constexpr const char* kFormat = checkpoint::kCheckpointFormat;

Json state_json(const TrainState& state, const RunConfig& config) {
  Json out = Json::object();
  out["format"] = kFormat;
  out["model"] = model::model_config_json(config.model);
  out["sequence_length"] = config.train.sequence_length;
  out["separate_documents"] = config.train.separate_documents;
  out["step"] = state.step;
  out["tokens"] = state.tokens;
  out["phase"] = config.phases[static_cast<size_t>(state.phase_index)].name;
  out["phase_index"] = state.phase_index;
  out["phase_step"] = state.phase_step;
  out["loader"] = data::to_json(state.loader);
  Json records = Json::array(), updates = Json::object();
  for (const auto& record : state.records) records.push_back(record_json(record));
  for (size_t i = 0; i < state.params.size(); ++i) updates[state.params.name(i)] = state.adam.updates.at(i);
  out["phases"] = std::move(records);
  out["optimizer_updates"] = std::move(updates);
  return out;
}

// With [model] from a checkpoint of the same kind of router its state comes along: a model was trained with it.
bool keeps_router_states(const checkpoint::ModelSource& source, const model::Transformer& model) {
  if (!source.is_checkpoint() || !source.config.is_moe() || model.router() == nullptr) return false;
  return model::Transformer(source.config).router()->options().at("kind") == model.router()->options().at("kind");
}

}  // namespace

void set_device(ops::Params& params, const at::Device& device, bool requires_grad) {
  ops::Params moved;
  for (const auto& [name, tensor] : params)
    moved.add(name, tensor.detach().to(device).set_requires_grad(requires_grad));
  params = std::move(moved);
}

TrainState initial_state(const RunConfig& config, const model::Transformer& model, const at::Device& device,
                         const at::Tensor& token_counts) {
  TrainState state;
  state.seed = static_cast<uint64_t>(config.train.seed);
  state.router_states = model.initial_router_states(state.seed, token_counts);
  if (config.model_from) {
    auto source = checkpoint::open_model(config.model_from->value);
    model::check_router_state(config.model, source.config, source.folder.string());
    state.params = checkpoint::load_params(source);
    const bool has_new_rows = config.model.vocab_size > source.config.vocab_size;
    if (has_new_rows) state.params = with_new_rows(config.model, new_rows(config, source), state.params, state.seed);
    if (keeps_router_states(source, model)) {
      state.router_states =
          has_new_rows ? with_new_ids(checkpoint::load_router_states(source, model::Transformer(source.config)),
                                      state.router_states)
                       : checkpoint::load_router_states(source, model);
    }
    checkpoint::take_biases(source, model, state.router_states);
  } else {
    state.params = model::init_params(config.model, state.seed);
  }
  set_device(state.params, device, /*requires_grad=*/true);
  state.adam = optim::initial_adam_state(state.params);
  for (auto& router_state : state.router_states) set_device(router_state, device, false);
  return state;
}

namespace {

// What a checkpoint of the run keeps of the folder that its weights came from.
struct KeptOrigin {
  fs::path folder;             // with the files; empty where there is none
  std::string tokenizer = "";  // the tokenizer's file, where it is not the one in there
};

// The files of the run's earlier checkpoints, else of what its weights, or those of its phase, came from. With a larger
// vocabulary the tokenizer is that of the run's own sets.
KeptOrigin origin_of_run(const fs::path& run, const TrainState& state, const RunConfig& config) {
  std::error_code ignored;
  const auto earlier = checkpoint::step_folders(run);
  for (const auto& folder : earlier)
    if (const fs::path kept = folder / checkpoint::kOriginName; fs::is_directory(kept, ignored)) return {kept};
  std::string from = external_start(config, static_cast<size_t>(state.phase_index));
  if (from.empty() && earlier.empty() && config.model_from) from = config.model_from->value;
  if (from.empty() || !fs::is_directory(from, ignored)) return {};  // it may be gone by now
  try {
    return {checkpoint::origin_of(from), config.new_embeddings ? largest_tokenizer(config) : ""};
  } catch (const Error& error) {
    log_warning("the files of the tokenizer are not kept: ", error.what());
    return {};
  }
}

}  // namespace

void save_checkpoint(const fs::path& run, const TrainState& state, const RunConfig& config) {
  const std::map<std::string, std::string> metadata = {{"format", kFormat}};
  const KeptOrigin origin = origin_of_run(run, state, config);
  checkpoint::save_folder(run / "checkpoints" / checkpoint::step_folder_name(state.step), [&](const fs::path& folder) {
    checkpoint::NamedTensors model_tensors, optimizer_tensors;
    for (const auto& [name, tensor] : state.params) model_tensors.emplace_back(name, tensor.detach());
    for (const auto& [name, tensor] : state.adam.first) optimizer_tensors.emplace_back("first." + name, tensor);
    for (const auto& [name, tensor] : state.adam.second) optimizer_tensors.emplace_back("second." + name, tensor);
    for (size_t i = 0; i < state.router_states.size(); ++i)
      for (const auto& [name, tensor] : state.router_states[i])
        optimizer_tensors.emplace_back(checkpoint::router_state_name(i, name), tensor);
    checkpoint::write_safetensors(folder / "model.safetensors", model_tensors, metadata);
    checkpoint::write_safetensors(folder / "optimizer.safetensors", optimizer_tensors, metadata);
    write_file_atomically(folder / "state.json", state_json(state, config).dump(1) + "\n");
    if (!origin.folder.empty()) checkpoint::keep_origin(origin.folder, folder, origin.tokenizer);
  });
}

TrainState load_checkpoint(const fs::path& folder, const RunConfig& config, const model::Transformer& model,
                           const LoadOptions& options) {
  const auto source = checkpoint::open_model(folder, std::nullopt, options.deep);
  const std::string where = (source.folder / "state.json").string();
  require<CheckpointError>(source.is_checkpoint(), folder.string(),
                           ": got a Hugging Face folder; need an evenkeel checkpoint (or [model] from)");
  model::check_router_state(config.model, source.config, source.folder.string());
  require<ConfigError>(source.sequence_length == config.train.sequence_length, "train.sequence_length: got ",
                       config.train.sequence_length, "; need ", source.sequence_length, " as in ",
                       source.folder.string(), ": what was drawn is counted in samples of that length");
  TrainState state;
  state.seed = static_cast<uint64_t>(config.train.seed);
  state.params = checkpoint::read_params(source.folder / "model.safetensors", config.model);
  with_path_as<CheckpointError>(where, source.state, [&] {
    const Json& json = source.state;
    require<CheckpointError>(json.at("format").as_string() == kFormat, where, ": got format '",
                             json.at("format").as_string(), "'; need ", kFormat);
    state.step = json.at("step").as_int();
    state.tokens = json.at("tokens").as_int();
    state.phase_index = json.at("phase_index").as_int();
    state.phase_step = json.at("phase_step").as_int();
    state.loader = data::sampler_state_from_json(json.at("loader"));
    state.records = read_records(json, where, config.train.seed);
    const Json& updates = json.at("optimizer_updates");
    for (const auto& [name, tensor] : state.params) {
      const Json* count = updates.find(name);
      require<CheckpointError>(count != nullptr, where, ": got no optimizer_updates of '", name, "'; need it");
      state.adam.updates.push_back(count->as_int());
    }
    require<CheckpointError>(state.step >= 0 && state.tokens >= 0 && state.phase_index >= 0 && state.phase_step >= 0,
                             where, ": got a negative counter; need 0 or more");
  });
  const checkpoint::SafetensorsFile optimizer(source.folder / "optimizer.safetensors");
  const auto load = [&](const std::string& name, const at::Tensor& like) {
    auto tensor = optimizer.load(name);
    require<CheckpointError>(tensor.sizes() == like.sizes() && tensor.scalar_type() == like.scalar_type(),
                             (source.folder / "optimizer.safetensors").string(), ": got '", name,
                             "' of another shape or type; need ", Json(like.sizes().vec()).dump(), " ",
                             c10::toString(like.scalar_type()));
    return tensor;
  };
  for (const auto& [name, tensor] : state.params) {
    state.adam.first.add(name, load("first." + name, tensor));
    state.adam.second.add(name, load("second." + name, tensor));
  }
  state.router_states = checkpoint::read_router_states(source.folder, model);
  set_device(state.params, options.device, true);
  set_device(state.adam.first, options.device, false);
  set_device(state.adam.second, options.device, false);
  for (auto& router_state : state.router_states) set_device(router_state, options.device, false);
  return state;
}

}  // namespace evenkeel::train
