#include "train/starting_state.h"

#include "checkpoint/families.h"
#include "checkpoint/model_source.h"
#include "checkpoint/router_states.h"
#include "core/errors.h"
#include "core/log.h"
#include "core/units.h"
#include "train/token_counts.h"

namespace evenkeel::train {

namespace fs = std::filesystem;

namespace {

at::Tensor token_counts(const RunSetting& setting) {
  const auto* router = setting.model.router();
  if (router == nullptr || !router->traits().needs_token_counts) return {};
  return count_tokens(setting.config.phases[0].data, setting.config.model.vocab_size, setting.data.datasets());
}

TrainState state_of(const RunSetting& setting, const PhaseStart& start) {
  if (start.step == 0 && start.folder.empty()) return first_state(setting.config, setting);
  const fs::path folder = folder_of_step(setting.options.run, start, start.step);
  if (checkpoint::open_model(folder, std::nullopt, /*deep=*/false).has_history)
    return load_checkpoint(folder, setting.config, setting.model,
                           {.device = setting.device, .resets_optimizer = start.resets_optimizer});
  RunConfig from_hf = setting.config;
  from_hf.model_from = RecipePath{folder.string(), ""};
  return first_state(from_hf, setting);
}

}  // namespace

TrainState first_state(const RunConfig& config, const RunSetting& setting) {
  return initial_state(config, setting.model, setting.device, token_counts(setting));
}

std::string weights_words(const fs::path& from) {
  const auto source = checkpoint::open_model(from, std::nullopt, /*deep=*/false);
  if (source.is_checkpoint())
    return join_parts("the checkpoint ", source.folder.string(), ", step ", source.state.at("step").as_int());
  std::vector<fs::path> files;
  double bytes = 0;
  for (const auto& entry : fs::directory_iterator(source.folder)) {
    if (!entry.is_regular_file() || entry.path().extension() != ".safetensors") continue;
    files.push_back(entry.path().filename());
    bytes += static_cast<double>(entry.file_size());
  }
  return join_parts("the Hugging Face folder ", source.folder.string(), ", family ", source.kind, ", ",
                    files.size() == 1 ? files[0].string() : std::to_string(files.size()) + " files .safetensors",
                    " of ", human_bytes(bytes));
}

void load_start(const RunSetting& setting, TrainState& state) {
  const PhaseStart& start = setting.start(state);
  state.params = {};  // the old model goes before the new one comes
  state.optimizer = {};
  TrainState other = state_of(setting, start);
  state.params = std::move(other.params);
  state.optimizer = std::move(other.optimizer);
  state.router_states = std::move(other.router_states);
  take_draws(start, std::move(other), state);
}

void take_draws(const PhaseStart& start, TrainState&& other, TrainState& state) {
  state.loader = std::move(other.loader);
  if (start.folder.empty()) {  // what the model has seen of its phases is what they had drawn by then
    for (const auto& then : other.records)
      for (auto& record : state.records)
        if (record.name == then.name && record.first_step == then.first_step) record.drawn = then.drawn;
    return;
  }
  // The other run's phases come before this run's own, one for each phase that began: a replay takes the last of a
  // name.
  state.records.insert(state.records.end() - state.phase_index, other.records.begin(), other.records.end());
}

std::unique_ptr<TrainState> state_at_start(const RunSetting& setting, const TrainState& state) {
  const PhaseStart& start = setting.start(state);
  const int64_t from = state.records.back().start_step;
  auto out = std::make_unique<TrainState>();
  if (start.folder.empty() && from == 0) {
    if (!setting.config.model_from) return nullptr;
    *out = first_state(setting.config, setting);
  } else {
    const fs::path folder = folder_of_step(setting.options.run, start, from);
    if (!fs::is_directory(folder)) {
      log_warning("no saturation of phase ", setting.phase(state).name, ": ", folder.string(),
                  ", which it started from, is gone");
      return nullptr;
    }
    const auto source = checkpoint::open_model(folder, std::nullopt, /*deep=*/false);
    out->params = checkpoint::load_params(source);
    out->router_states = source.is_checkpoint()
                             ? checkpoint::load_router_states(source, setting.model)
                             : setting.model.initial_router_states(state.seed, token_counts(setting));
    checkpoint::take_biases(source, setting.model, out->router_states);
  }
  set_device(out->params, setting.device, /*requires_grad=*/false);
  for (auto& router_state : out->router_states) set_device(router_state, setting.device, false);
  return out;
}

}  // namespace evenkeel::train
