#include "train/state.h"

#include <set>

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
  for (size_t i = 0; i < state.params.size(); ++i) updates[state.params.name(i)] = state.optimizer.updates.at(i);
  out["phases"] = std::move(records);
  out["optimizer"] = state.optimizer.kind;
  out["optimizer_updates"] = std::move(updates);
  return out;
}

// With [model] from a checkpoint of the same kind of router its state comes along: a model was trained with it.
bool keeps_router_states(const checkpoint::ModelSource& source, const model::Transformer& model) {
  if (!source.is_checkpoint() || !source.config.is_moe() || model.router() == nullptr) return false;
  return model::Transformer(source.config).router()->options().at("kind") == model.router()->options().at("kind");
}

void add_new_rows(const RunConfig& config, const checkpoint::ModelSource& source, TrainState& state) {
  const auto rows = new_rows(config, source);
  state.params = with_new_rows(config.model, rows, state.params, state.seed);
  if (rows.n_in_padding > 0)
    log_info("the rows ", rows.first, "..", rows.first + rows.n_in_padding - 1,
             " of the vocabulary, which are padding in ", source.folder.string(),
             ", are those of new pieces and begin as the new rows do (", name_of(rows.how), ")");
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
    if (config.new_embeddings) add_new_rows(config, source, state);
    if (keeps_router_states(source, model)) {
      const bool has_new_ids = config.model.vocab_size > source.config.vocab_size;
      state.router_states =
          has_new_ids ? with_new_ids(checkpoint::load_router_states(source, model::Transformer(source.config)),
                                     state.router_states)
                      : checkpoint::load_router_states(source, model);
    }
    checkpoint::take_biases(source, model, state.router_states);
  } else {
    state.params = model::init_params(config.model, state.seed);
  }
  set_device(state.params, device, /*requires_grad=*/true);
  state.optimizer = optim::initial_optimizer_state(*run_optimizer(config), state.params);
  for (auto& router_state : state.router_states) set_device(router_state, device, false);
  return state;
}

std::string optimizer_of_state(const Json& state) {
  const Json* kind = state.find("optimizer");
  return kind != nullptr ? kind->as_string() : "adamw";
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
    for (const auto& [name, tensor] : state.optimizer.moments) optimizer_tensors.emplace_back(name, tensor);
    for (size_t i = 0; i < state.router_states.size(); ++i)
      for (const auto& [name, tensor] : state.router_states[i])
        optimizer_tensors.emplace_back(checkpoint::router_state_name(i, name), tensor);
    checkpoint::write_safetensors(folder / "model.safetensors", model_tensors, metadata);
    checkpoint::write_safetensors(folder / "optimizer.safetensors", optimizer_tensors, metadata);
    write_file_atomically(folder / "state.json", state_json(state, config).dump(1) + "\n");
    checkpoint::keep_origin(origin.folder, folder, origin.tokenizer);
  });
}

namespace {

// What the optimizer needs of optimizer.safetensors, beside which the balancing states of routers stand.
void check_moments(const checkpoint::SafetensorsFile& file, const optim::Optimizer& optimizer,
                   const std::string& path) {
  std::set<std::string> needed;
  for (const auto& form : optimizer.moment_forms()) {
    const auto* entry = file.find(form.name);
    require<CheckpointError>(entry != nullptr, path, ": got no '", form.name, "'; need the moments of ",
                             optimizer.options().dump());
    require<CheckpointError>(entry->shape == form.shape && entry->dtype == at::kFloat, path, ": got '", form.name,
                             "' of another shape or type; need ", Json(form.shape).dump(), " ",
                             c10::toString(at::kFloat));
    needed.insert(form.name);
  }
  for (const auto& entry : file.entries())
    require<CheckpointError>(needed.contains(entry.name) || checkpoint::is_router_state(entry.name), path, ": got '",
                             entry.name, "', which is no moment of ", optimizer.options().dump(), "; need those alone");
}

fs::path moments_of(const checkpoint::ModelSource& source) { return source.folder / "optimizer.safetensors"; }

optim::OptimizerState load_optimizer(const checkpoint::ModelSource& source, const RunConfig& config,
                                     const ops::Params& params) {
  check_optimizer(config, source);
  optim::OptimizerState out;
  out.kind = optimizer_of_state(source.state);
  const std::string where = (source.folder / "state.json").string();
  with_path_as<CheckpointError>(where, source.state, [&] {
    const Json& updates = source.state.at("optimizer_updates");
    for (const auto& [name, tensor] : params) {
      const Json* count = updates.find(name);
      require<CheckpointError>(count != nullptr, where, ": got no optimizer_updates of '", name, "'; need it");
      out.updates.push_back(count->as_int());
    }
  });
  const checkpoint::SafetensorsFile file(moments_of(source));
  const auto optimizer = run_optimizer(config);
  for (const auto& form : optimizer->moment_forms()) out.moments.add(form.name, file.load(form.name));
  return out;
}

}  // namespace

void check_optimizer(const RunConfig& config, const checkpoint::ModelSource& source) {
  const auto optimizer = run_optimizer(config);
  const std::string wanted = optimizer->options().at("kind").as_string(),
                    where = (source.folder / "state.json").string();
  with_path_as<CheckpointError>(where, source.state, [&] {
    const std::string kind = optimizer_of_state(source.state);
    const ConfigNode* given = config.optimizer.find("kind");
    require<ConfigError>(kind == wanted, got_at(given != nullptr ? given->where : where, "optimizer.kind"), "'", wanted,
                         "', and the moments of '", kind, "' in ", source.folder.string(), "; need '", kind,
                         "', or a phase that starts there with start.optimizer = \"reset\"");
  });
  const fs::path path = moments_of(source);
  check_moments(checkpoint::SafetensorsFile(path), *optimizer, path.string());
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
    require<CheckpointError>(state.step >= 0 && state.tokens >= 0 && state.phase_index >= 0 && state.phase_step >= 0,
                             where, ": got a negative counter; need 0 or more");
  });
  state.router_states = checkpoint::read_router_states(source.folder, model);
  state.optimizer = options.resets_optimizer ? optim::initial_optimizer_state(*run_optimizer(config), state.params)
                                             : load_optimizer(source, config, state.params);
  set_device(state.params, options.device, true);
  set_device(state.optimizer.moments, options.device, false);
  for (auto& router_state : state.router_states) set_device(router_state, options.device, false);
  return state;
}

}  // namespace evenkeel::train
