#include "checkpoint/import.h"

#include <algorithm>

#include "checkpoint/families.h"
#include "checkpoint/manifest.h"
#include "checkpoint/origin.h"
#include "checkpoint/router_states.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/log.h"
#include "core/units.h"
#include "model/transformer.h"

namespace evenkeel::checkpoint {
namespace {

constexpr int64_t kLongestSequence = 2048;  // that is taken for an evaluation unless it is told otherwise

std::map<std::string, std::string> metadata_of(const HfTensors& tensors) {
  std::map<std::string, std::string> out = {{"format", kCheckpointFormat}};
  const auto add = [&](const char* key, const std::map<std::string, std::string>& values) {
    Json table = Json::object();
    for (const auto& [name, value] : values) table[name] = value;
    if (!values.empty()) out[key] = table.dump();
  };
  add(kForeignTypesKey, tensors.foreign_types());
  add(kForeignLayoutsKey, tensors.foreign_layouts());
  if (!tensors.tied_head().empty()) out[kTiedHeadKey] = tensors.tied_head();
  return out;
}

void write_router_states(const fs::path& file, const HfTensors& tensors, const HfModel& model) {
  auto states = model::Transformer(model.config).initial_router_states();
  put_biases(tensors.biases(), states);
  NamedTensors out;
  for (size_t index = 0; index < states.size(); ++index)
    for (const auto& [name, tensor] : states[index]) out.emplace_back(router_state_name(index, name), tensor);
  write_safetensors(file, out, {{"format", kCheckpointFormat}});
}

}  // namespace

Json untrained_state(const model::ModelConfig& config, int64_t sequence_length) {
  Json out = Json::object();
  out["format"] = kCheckpointFormat;
  out["model"] = model::model_config_json(config);
  out["sequence_length"] = sequence_length;
  out["separate_documents"] = false;
  for (const char* key : {"step", "tokens", "phase_index", "phase_step"}) out[key] = 0;
  out["phase"] = "";
  out["phases"] = Json::array();
  out["optimizer_updates"] = Json::object();
  return out;
}

namespace {

Json state_of(const HfModel& model) {
  Json out = untrained_state(model.config, std::min(model.max_sequence_length, kLongestSequence));
  out["imported"] = Json::Object{{"family", model.family}, {"max_sequence_length", model.max_sequence_length}};
  return out;
}

}  // namespace

void import_folder(const fs::path& folder, const fs::path& checkpoint) {
  require<CheckpointError>(is_hf_folder(folder), folder.string(),
                           ": got no config.json with a model_type; need a Hugging Face folder");
  require_own_outputs({{checkpoint, OutputKind::checkpoint}}, {folder});
  const HfModel model = read_hf_config(folder);
  const HfTensors tensors(folder, model);
  tensors.check_values();
  const auto& parameters = tensors.parameters();
  double total = 0;
  for (const auto& spec : parameters) total += static_cast<double>(spec.n_bytes());
  Progress progress("importing", total, "GB", 1e9);
  double done = 0;
  save_folder(checkpoint, [&](const fs::path& temporary) {
    write_safetensors(temporary / "model.safetensors", parameters, metadata_of(tensors), [&](size_t index) {
      done += static_cast<double>(parameters[index].n_bytes());
      auto out = tensors.parameter(index, parameters[index].dtype);
      progress.update(done, human_bytes(done) + " of " + human_bytes(total));
      return out;
    });
    write_router_states(temporary / "optimizer.safetensors", tensors, model);
    write_file_atomically(temporary / "state.json", state_of(model).dump(1) + "\n");
    keep_origin(folder, temporary);
  });
  log_notices(model, tensors, folder);  // last: where a value is refused, that is all there is to say
}

}  // namespace evenkeel::checkpoint
