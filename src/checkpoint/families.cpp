#include "checkpoint/families.h"

#include <algorithm>
#include <set>

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>

#include "checkpoint/families/family.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_header.h"
#include "core/counted.h"
#include "core/errors.h"
#include "model/layout.h"

// The list of families. To add one: its file in checkpoint/families, one line here, its test beside.
#define EVENKEEL_FAMILIES(X) \
  X(llama)                   \
  X(olmoe)

namespace evenkeel::checkpoint {

#define X(name) Family name##_family();
EVENKEEL_FAMILIES(X)
#undef X

std::vector<TensorRule> decoder_rules() {
  return {
      {"embedding.weight", {{"model.embed_tokens.weight"}}},
      {"layers.{i}.attention_norm.weight", {{"model.layers.{i}.input_layernorm.weight"}}},
      {"layers.{i}.attention.qkv.weight",
       {{"model.layers.{i}.self_attn.q_proj.weight", Rows::queries},
        {"model.layers.{i}.self_attn.k_proj.weight", Rows::keys_or_values},
        {"model.layers.{i}.self_attn.v_proj.weight", Rows::keys_or_values}}},
      {"layers.{i}.attention.out.weight", {{"model.layers.{i}.self_attn.o_proj.weight"}}},
      {"layers.{i}.ffn_norm.weight", {{"model.layers.{i}.post_attention_layernorm.weight"}}},
      {"final_norm.weight", {{"model.norm.weight"}}},
      {"head.weight", {{tied_head_name()}}},
  };
}

const std::string& tied_head_name() {
  static const std::string name = "lm_head.weight";
  return name;
}

namespace {

const std::vector<Family>& families() {
#define X(name) name##_family(),
  static const std::vector<Family> list = {EVENKEEL_FAMILIES(X)};
#undef X
  return list;
}

const Family& family_named(const std::string& model_type, const std::string& where) {
  std::string known;
  for (const auto& family : families()) {
    if (model_type == family.model_type) return family;
    add_to_list(known, family.model_type);
  }
  fail<CheckpointError>(where, ": model_type: got \"", model_type, "\"; need one of: ", known,
                        " (other families are not there yet)");
}

std::string replaced(std::string text, const std::string& mark, const std::string& value) {
  const size_t at = text.find(mark);
  return at == std::string::npos ? text : text.replace(at, mark.size(), value);
}

// "layers.7.ffn_norm.weight" -> {"layers.{i}.ffn_norm.weight", "7"}; other names stay as they are.
std::pair<std::string, std::string> split_layer(const std::string& name) {
  const std::string start = "layers.";
  if (!name.starts_with(start)) return {name, ""};
  const size_t end = name.find('.', start.size());
  return {start + "{i}" + name.substr(end), name.substr(start.size(), end - start.size())};
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out;
  for (const int64_t size : shape) add_to_list(out, std::to_string(size));
  return "[" + out + "]";
}

// A foreign tensor and the place it fills.
struct Source {
  std::string name;
  std::vector<int64_t> shape;
  int64_t expert = -1;  // first index of evenkeel's tensor; -1 = this tensor has no such dimension of its own
  int64_t row = 0;      // first row
};

int64_t part_rows(const model::ModelConfig& config, Rows rows, int64_t all) {
  switch (rows) {
    case Rows::queries: return config.n_heads * config.head_dim;
    case Rows::keys_or_values: return config.n_kv_heads * config.head_dim;
    case Rows::half: return all / 2;
    case Rows::all: break;
  }
  return all;
}

// The foreign tensors that make up one of evenkeel's parameters under a rule.
std::vector<Source> sources_of(const TensorRule& rule, const std::string& layer, const model::ParamSpec& spec,
                               const model::ModelConfig& config) {
  const bool is_by_expert = rule.parts[0].name.find("{e}") != std::string::npos;
  const int64_t n_stacked = is_by_expert ? spec.shape[0] : 1;
  const std::vector<int64_t> shape(spec.shape.begin() + (is_by_expert ? 1 : 0), spec.shape.end());
  std::vector<Source> sources;
  for (int64_t expert = 0; expert < n_stacked; ++expert) {
    int64_t row = 0;
    for (const auto& part : rule.parts) {
      Source source{replaced(replaced(part.name, "{i}", layer), "{e}", std::to_string(expert)), shape,
                    is_by_expert ? expert : -1, row};
      source.shape[0] = part_rows(config, part.rows, shape[0]);
      row += source.shape[0];
      sources.push_back(std::move(source));
    }
  }
  return sources;
}

// The sources under the first layout that the folder has something of, else under the usual one.
std::vector<Source> choose_sources(const Family& family, const SafetensorsFolder& folder, const model::ParamSpec& spec,
                                   const model::ModelConfig& config) {
  const auto [pattern, layer] = split_layer(spec.name);
  std::vector<Source> usual;
  for (const auto& rule : family.rules) {
    if (rule.ours != pattern) continue;
    auto sources = sources_of(rule, layer, spec, config);
    for (const auto& source : sources)
      if (folder.contains(source.name)) return sources;
    if (usual.empty()) usual = std::move(sources);
  }
  return usual;
}

void check_source(const SafetensorsFolder& folder, const std::string& where, const Source& source) {
  const auto* entry = folder.find(source.name);
  require<CheckpointError>(entry != nullptr, where, ": got no tensor ", shown_name(source.name), "; need it, of shape ",
                           shape_text(source.shape));
  require<CheckpointError>(entry->shape == source.shape, where, ": tensor ", shown_name(source.name), ": got shape ",
                           shape_text(entry->shape), "; need ", shape_text(source.shape), " (config.json)");
  const bool is_float = entry->dtype == at::kFloat || entry->dtype == at::kBFloat16 || entry->dtype == at::kHalf;
  require<CheckpointError>(is_float, where, ": tensor ", shown_name(source.name), ": got ", dtype_name(entry->dtype),
                           "; need F32, BF16 or F16");
}

void check_all_used(const Family& family, const SafetensorsFolder& folder, const std::string& where,
                    const HfModel& model, std::set<std::string> used) {
  for (const auto& pattern : family.derived)
    for (int64_t layer = 0; layer < model.config.n_layers; ++layer)
      used.insert(replaced(pattern, "{i}", std::to_string(layer)));
  if (model.config.tie_embeddings) used.insert(tied_head_name());  // compared with the embedding when read
  std::string left_over;
  int64_t n_left_over = 0;
  for (const auto& name : folder.names()) {
    if (used.contains(name)) continue;
    if (++n_left_over <= 3) add_to_list(left_over, shown_name(name));
  }
  require<CheckpointError>(n_left_over == 0, where, ": got ", counted(n_left_over, "tensor"), " that a ",
                           family.model_type, " of this config.json does not have: ", left_over,
                           n_left_over > 3 ? ", ..." : "", "; need none");
}

// A tied model may hold the head as a copy of the embedding, and nothing else.
void check_tied_head(const SafetensorsFolder& folder, const std::string& where, const at::Tensor& embedding) {
  if (!folder.contains(tied_head_name())) return;
  const auto head = folder.load(tied_head_name());
  require<CheckpointError>(head.sizes() == embedding.sizes() && at::equal(head.to(at::kFloat), embedding), where,
                           ": tensor ", shown_name(tied_head_name()),
                           ": got other values than the embedding; need the same (tie_word_embeddings = true)");
}

// An fp32 tensor filled from its sources, one in memory at a time.
at::Tensor assemble(const SafetensorsFolder& folder, const model::ParamSpec& spec, const std::vector<Source>& sources) {
  auto out = at::empty(spec.shape, at::TensorOptions().dtype(at::kFloat).device(at::kCPU));
  for (const auto& source : sources) {
    const auto place = source.expert < 0 ? out : out.select(0, source.expert);
    place.narrow(0, source.row, source.shape[0]).copy_(folder.load(source.name));
  }
  return out;
}

}  // namespace

bool is_hf_folder(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_regular_file(folder / "config.json", ignored)) return false;
  return !HfConfig(folder).text("model_type", "").empty();
}

HfModel read_hf_config(const fs::path& folder) {
  const HfConfig config(folder);
  const Family& family = family_named(config.text("model_type", ""), config.where());
  config.require_architecture(family.architecture);
  HfModel model;
  model.family = family.model_type;
  family.read_config(config, model.config);
  model.max_sequence_length = config.size("max_position_embeddings", family.default_max_sequence_length);
  try {
    model::check_model_config(model.config, config.where());
  } catch (const ConfigError& error) {
    throw CheckpointError(error.what());
  }
  return model;
}

ops::Params read_hf_params(const fs::path& folder, const HfModel& model) {
  const std::string where = folder.string();
  const Family& family = family_named(model.family, where);
  const SafetensorsFolder tensors(folder);
  // 1. Everything is checked by the headers alone.
  const auto table = model::parameter_table(model.config);
  std::vector<std::vector<Source>> sources;
  std::set<std::string> used;
  for (const auto& spec : table) {
    sources.push_back(choose_sources(family, tensors, spec, model.config));
    for (const auto& source : sources.back()) {
      check_source(tensors, where, source);
      used.insert(source.name);
    }
  }
  check_all_used(family, tensors, where, model, std::move(used));
  // 2. The values.
  ops::Params params;
  for (size_t i = 0; i < table.size(); ++i) params.add(table[i].name, assemble(tensors, table[i], sources[i]));
  if (model.config.tie_embeddings) check_tied_head(tensors, where, params.at("embedding.weight"));
  return params;
}

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const auto& family : families()) names.emplace_back(family.model_type);
  return names;
}

}  // namespace evenkeel::checkpoint
