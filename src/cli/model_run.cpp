#include "cli/model_run.h"

#include <algorithm>
#include <cmath>

#include <ATen/Parallel.h>
#include <ATen/ops/aminmax.h>

#include "checkpoint/open_weights.h"
#include "checkpoint/router_states.h"
#include "core/errors.h"
#include "core/log.h"
#include "core/units.h"
#include "data/datasets.h"
#include "data/description.h"
#include "data/tokenizer.h"
#include "model/layout.h"
#include "ops/device.h"
#include "train/memory_limit.h"
#include "train/inputs.h"
#include "train/state.h"

namespace evenkeel::cli {
namespace {
constexpr const char* kAllowMixed = "--allow-mixed-tokenizers";
}

void ModelRunOptions::declare(Options& options, const std::string& seed_help) {
  constexpr int64_t kMost = INT32_MAX;
  options.add("--sequence-length", sequence_length, {0, kMost, "as the model was trained"},
              "tokens a window; 0 = as the model was trained");
  options.add("--max-tokens", max_tokens, {0, INT64_MAX, "all"}, "tokens of each data set; 0 = all");
  options.add("--batch-size", batch_size, {1, kMost}, "windows a forward pass");
  options.add("--dtype", dtype, "fp32 or bf16 weights (router scores are fp32 or wider)");
  options.add("--mode", mode, "eval or train: which router and capacity mode");
  options.flag(
      "--mapped", mapped,
      "weights stay in their files and are widened as they are used; so they do without this where they do not fit "
      "into memory");
  options.add("--seed", seed, {}, seed_help);
  options.compute(device);
}

void ModelRunOptions::check() const {
  require<ConfigError>(mode == "eval" || mode == "train", "--mode: got '", mode, "'; need eval or train");
  require<ConfigError>(dtype == "fp32" || dtype == "bf16", "--dtype: got '", dtype, "'; need fp32 or bf16");
}

at::Device ModelRunOptions::find_device() const { return ops::find_device(device); }

namespace {

constexpr double kFp32 = 4;  // bytes

double bytes_as_fp32(const model::ModelConfig& config) {
  return kFp32 * static_cast<double>(model::count_parameters(config).total);
}

// Of the weights that a pass by stored ones has widened at a time: a layer without its routed experts, an expert on
// each thread; or the head.
double bytes_in_hand(const model::ModelConfig& config) {
  double most = static_cast<double>(config.vocab_size) * static_cast<double>(config.d_model);
  for (const auto& layer : model::layer_specs(config)) {
    double n = 0;
    for (const auto& spec : layer.parameters) {
      n += static_cast<double>(spec.n_elements()) *
           (spec.is_of_experts() ? static_cast<double>(at::get_num_threads()) / static_cast<double>(config.n_experts)
                                 : 1.0);
    }
    most = std::max(most, n);
  }
  return kFp32 * most;
}

// What batches may take between the layers of such a model: a quarter of what is free. The rest is for the layer at
// hand, for what is summed over batches, and for the kernel, which keeps pages of the files.
double group_bytes(const model::ModelConfig& config) {
  constexpr double kShare = 0.25;
  return kShare * std::max(0.0, train::available_memory().bytes - bytes_in_hand(config));
}

bool stays_stored(const checkpoint::ModelSource& source, bool is_asked_for) {
  return is_asked_for || !train::fits_memory(bytes_as_fp32(source.config));
}

}  // namespace

double weight_bytes(const analysis::LoadedModel& model) {
  if (model.stored != nullptr) return bytes_in_hand(model.model.config()) + model.group_bytes;
  double out = 0;
  for (const auto& [name, tensor] : model.params) out += static_cast<double>(tensor.nbytes());
  return out;
}

checkpoint::ModelSource open_checked(const std::string& path) {
  auto source = checkpoint::open_model(path);
  const bool is_stored = stays_stored(source, false);
  train::require_memory(is_stored ? bytes_in_hand(source.config) : bytes_as_fp32(source.config), path);
  return source;
}

void warn_of_length(const checkpoint::ModelSource& source, const std::string& name, const ModelRunOptions& options) {
  if (options.sequence_length <= source.longest_sequence) return;
  log_warning("--sequence-length ", options.sequence_length, " is more than the ", source.longest_sequence,
              " tokens that ", name,
              source.is_checkpoint() ? " was trained with" : " is made for (max_position_embeddings)",
              ": at later positions it does what it never learned");
}

analysis::LoadedModel load_model(const checkpoint::ModelSource& source, const std::string& name,
                                 const ModelRunOptions& options) {
  const auto device = options.find_device();
  const auto dtype = options.dtype == "bf16" ? at::kBFloat16 : at::kFloat;
  analysis::LoadedModel out{name, model::Transformer(source.config), {}, {}};
  if (stays_stored(source, options.mapped)) {
    out.stored = checkpoint::open_weights(source, {dtype, device});
    out.group_bytes = group_bytes(source.config);
    log_info(name,
             ": the weights stay in their files and are widened as they are used, once for as many batches as take ",
             human_bytes(out.group_bytes), " between layers");
  } else {
    for (const auto& [param, tensor] : checkpoint::load_params(source)) out.params.add(param, tensor.to(dtype));
    train::set_device(out.params, device, /*requires_grad=*/false);
  }
  out.router_states = checkpoint::load_router_states(source, out.model);
  for (auto& state : out.router_states) train::set_device(state, device, /*requires_grad=*/false);
  if (const Json* step = source.state.find("step")) out.step = step->as_int();
  return out;
}

void name_bad_weight(const analysis::LoadedModel& model, const NumericsError& error) {
  const auto table = model::parameter_table(model.model.config());
  for (size_t i = 0; i < table.size(); ++i) {
    const auto weight = model.stored != nullptr ? model.stored->parameter(i) : model.params.at(table[i].name);
    const auto [least, most] = at::aminmax(weight);  // NaN where there is one
    require<NumericsError>(std::isfinite(least.item<double>()) && std::isfinite(most.item<double>()), model.name,
                           ": got values that are not finite in the weight ", table[i].name,
                           "; need finite ones (they led to: ", error.what(), ")");
  }
}

std::vector<NamedDataset> open_datasets(const std::vector<std::string>& texts, bool allows_mixed_tokenizers) {
  std::vector<NamedDataset> out;
  for (const auto& set : split_named(texts, "--data")) out.push_back({set.name, data::IndexedDataset::open(set.value)});
  data::require_one_tokenizer(tokenizer_uses(out), allows_mixed_tokenizers, kAllowMixed);
  return out;
}

std::vector<data::TokenizerUse> tokenizer_uses(const std::vector<NamedDataset>& sets) {
  std::vector<data::TokenizerUse> out;
  for (const auto& set : sets) out.push_back(data::tokenizer_use("--data " + set.name, set.dataset));
  return out;
}

void require_tokenizer_of(const checkpoint::ModelSource& source, const std::vector<data::TokenizerUse>& sets,
                          bool allows_mixed_tokenizers) {
  auto uses = train::tokenizer_uses("the model", source);
  if (uses.size() > 1) return;  // it was trained with several, which was allowed
  const auto described =
      std::find_if(sets.begin(), sets.end(), [](const data::TokenizerUse& set) { return !set.sha256.empty(); });
  if (described != sets.end()) uses.push_back(*described);
  if (described == sets.end())
    uses.insert(uses.end(), sets.begin(), sets.end());  // a note says what their tokenizer is taken for
  data::require_one_tokenizer(uses, allows_mixed_tokenizers, kAllowMixed);
}

void check_vocabulary(const data::IndexedDataset& dataset, int64_t vocab_size, int64_t max_tokens) {
  dataset.check_vocabulary(vocab_size,
                           max_tokens > 0 && max_tokens < dataset.n_tokens() ? max_tokens + 1 : dataset.n_tokens());
}

TokenizerOrigin tokenizer_origin(const std::filesystem::path& prefix) {
  const Json json = data::read_description(prefix);
  const auto text = [&](const char* key) {
    const Json* value = json.find(key);
    return value != nullptr && value->is_string() ? value->as_string() : std::string();
  };
  TokenizerOrigin out{text("tokenizer_sha256"), text("tokenizer")};
  if (!out.path.empty()) out.path = (fs::absolute(prefix).parent_path() / out.path).lexically_normal().string();
  return out;
}

std::string find_tokenizer(const std::vector<std::string>& candidates, const std::string& sha256) {
  for (const auto& candidate : candidates) {
    std::vector<fs::path> files = {candidate};
    if (fs::is_directory(candidate)) files = data::tokenizer_files(candidate);
    for (const auto& file : files)
      if (fs::is_regular_file(file) && (sha256.empty() || sha256_file(file) == sha256)) return file.string();
  }
  return "";
}

}  // namespace evenkeel::cli
