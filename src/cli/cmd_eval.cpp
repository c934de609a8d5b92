#include <cmath>
#include <iostream>

#include "checkpoint/model_source.h"
#include "checkpoint/router_states.h"
#include "cli/commands.h"
#include "core/errors.h"
#include "core/log.h"
#include "core/units.h"
#include "model/layout.h"
#include "ops/device.h"
#include "train/evaluate.h"
#include "train/memory.h"
#include "train/state.h"

namespace evenkeel::cli {

int cmd_eval(Options& options) {
  std::string model_path, device_name, mode = "eval", dtype = "fp32", step;
  std::vector<std::string> data_texts;
  train::EvalOptions eval;
  eval.batch_size = 16;
  bool json = false;
  options.add("MODEL", model_path, "checkpoint, run or Hugging Face folder", true);
  options.add("--data", data_texts, "NAME=PREFIX of .bin/.idx; repeatable", true);
  options.add("--sequence-length", eval.sequence_length, "0 = as the model was trained");
  options.add("--max-tokens", eval.max_tokens, "scored tokens of each set; 0 = all");
  options.add("--batch-size", eval.batch_size, "sequences a forward pass");
  options.add("--dtype", dtype, "fp32 or bf16");
  options.add("--mode", mode, "eval or train: which router mode");
  options.flag("--json", json, "one JSON document on stdout");
  options.compute(device_name);
  options.example("evenkeel eval runs/first --data en=data/en-heldout --json");
  if (!options.parse()) return 0;
  require<ConfigError>(eval.sequence_length >= 0 && eval.sequence_length < (int64_t{1} << 31), "--sequence-length: got ", eval.sequence_length, "; need 1 or more (0 = as trained)");
  require<ConfigError>(eval.batch_size >= 1 && eval.batch_size < (int64_t{1} << 31), "--batch-size: got ", eval.batch_size, "; need at least 1");
  require<ConfigError>(eval.max_tokens >= 0, "--max-tokens: got ", eval.max_tokens, "; need 0 (all) or more");
  require<ConfigError>(mode == "eval" || mode == "train", "--mode: got '", mode, "'; need eval or train");
  require<ConfigError>(dtype == "fp32" || dtype == "bf16", "--dtype: got '", dtype, "'; need fp32 or bf16");
  eval.mode = mode == "eval" ? moe::Mode::eval : moe::Mode::train;
  const auto sets = split_named(data_texts, "--data");

  const auto source = checkpoint::open_model(model_path);
  train::require_memory(4.0 * static_cast<double>(model::count_parameters(source.config).total), model_path);
  if (eval.sequence_length == 0) eval.sequence_length = source.sequence_length;
  eval.separate_documents = source.separate_documents;
  std::vector<data::IndexedDataset> datasets;
  for (const auto& set : sets) {
    datasets.push_back(data::IndexedDataset::open(set.value));
    datasets.back().check_vocabulary(source.config.vocab_size);
  }
  const auto device = ops::find_device(device_name);
  const model::Transformer model(source.config);
  auto params = checkpoint::load_params(source);
  if (dtype == "bf16") {
    ops::Params narrow;
    for (const auto& [name, tensor] : params) narrow.add(name, tensor.to(at::kBFloat16));
    params = std::move(narrow);
  }
  train::set_device(params, device, /*requires_grad=*/false);
  auto router_states = checkpoint::load_router_states(source, model);
  for (auto& state : router_states) train::set_device(state, device, /*requires_grad=*/false);

  Json data = Json::object();
  Progress progress("evaluating", static_cast<double>(sets.size()), "sets");
  for (size_t i = 0; i < sets.size(); ++i) {
    const auto result = train::evaluate(model, params, router_states, datasets[i], eval);
    data[sets[i].name] = train::to_json(result, /*with_routing=*/true);
    progress.update(static_cast<double>(i + 1));
    if (json) continue;
    char line[160];
    std::snprintf(line, sizeof line, "%-16s loss %.4f  perplexity %.2f", sets[i].name.c_str(), result.loss, std::exp(result.loss));
    std::cout << line;
    if (result.bits_per_byte) std::cout << "  bits per byte " << *result.bits_per_byte;
    std::cout << "  (" << human_count(static_cast<double>(result.n_tokens)) << " tokens)\n";
  }
  if (json) std::cout << Json(Json::Object{{"data", std::move(data)}, {"tasks", Json::object()}}).dump(1) << "\n";
  return 0;
}

}  // namespace evenkeel::cli
