#include "checkpoint/export.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/zeros.h>

#include "checkpoint/families.h"
#include "checkpoint/import.h"
#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "checkpoint/origin.h"
#include "checkpoint/router_states.h"
#include "checkpoint/safetensors_header.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/units.h"

namespace evenkeel::checkpoint {
namespace {

// A tensor of the folder.
struct Written {
  TensorSpec spec;
  OwnTensor own;  // evenkeel's tensor that it comes from
  Piece piece;
};

// A value that is not finite stays what it is; one that is finite has to stay so in the type and by the factor that it
// is written with.
void require_finite_stays(const at::Tensor& own, const at::Tensor& out, const Written& written) {
  const Piece& piece = written.piece;
  if (piece.factor == 1 && own.scalar_type() == out.scalar_type()) return;
  const auto n_finite = [](const at::Tensor& values) { return at::isfinite(values).sum().item<int64_t>(); };
  require<CheckpointError>(n_finite(out) == out.numel() || n_finite(out) == n_finite(own), "tensor ", written.spec.name,
                           ": got a value beyond its type, ", dtype_name(written.spec.dtype),
                           piece.factor != 1 ? join_parts(" after a factor of ", piece.factor) : "",
                           "; need --dtype fp32");
}

// The tensor files of a checkpoint.
class Stored {
 public:
  Stored(const fs::path& folder, const model::ModelConfig& config)
      : model_(folder / "model.safetensors"), optimizer_(folder / "optimizer.safetensors"), config_(config) {
    types_ = json_in(kForeignTypesKey);
    layouts_ = json_in(kForeignLayoutsKey);
  }
  // As HfTensors::tied_head says of the folder that was imported.
  std::string tied_head() const {
    const auto found = model_.metadata().find(kTiedHeadKey);
    return found == model_.metadata().end() ? "" : found->second;
  }
  // The type that a foreign tensor had, or else that of evenkeel's.
  at::ScalarType type_of(const OwnTensor& own, const std::string& foreign) const {
    const Json* found = types_.find(foreign);
    for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf})
      if (found != nullptr && *found == Json(dtype_name(type))) return type;
    return own.is_state() ? at::kFloat : model_.find(own.name)->dtype;
  }
  // The layout that the tensor had in its folder, else the first.
  const std::vector<Piece>& layout_of(const OwnTensor& own, const std::vector<std::vector<Piece>>& layouts) const {
    const Json* found = layouts_.find(own.name);
    for (const auto& layout : layouts)
      if (found != nullptr && *found == Json(layout[0].name)) return layout;
    return layouts.front();
  }
  at::ScalarType usual_type() const { return model_.find("embedding.weight")->dtype; }

  // In its type in the folder, which may be a narrower one; one block beside it in memory.
  at::Tensor load(const Written& written) const {
    const Piece& piece = written.piece;
    const auto options = at::TensorOptions().dtype(written.spec.dtype).device(at::kCPU);
    if (piece.is_zero) return at::zeros(piece.shape, options);
    at::Tensor out = at::empty(piece.shape, options);
    for_row_blocks(piece, [&](const RowBlock& block) {
      const auto own = rows(written, block);
      const auto whole = piece.is_stacked ? out.select(0, block.expert) : out;
      const auto place = whole.narrow(piece.is_transposed ? 1 : 0, block.first, block.count);
      place.copy_(to_foreign(own, piece));
      require_finite_stays(own, place, written);
    });
    return out;
  }

 private:
  // A block of a part as evenkeel has it.
  at::Tensor rows(const Written& written, const RowBlock& block) const {
    const std::string& name = written.own.name;
    if (written.own.is_state()) {
      const auto index = config_.moe_layers_below(split_layer(name).second);
      return optimizer_.load(router_state_name(index, "bias")).narrow(0, block.first, block.count);
    }
    const int64_t first = written.piece.row + block.first;
    if (block.expert < 0) return model_.load_rows(name, first, block.count);
    return model_.load_inner_rows(name, block.expert, first, block.count);
  }
  Json json_in(const char* key) const {
    const auto found = model_.metadata().find(key);
    return found == model_.metadata().end() ? Json::object() : Json::parse(found->second, key);
  }
  SafetensorsFile model_, optimizer_;
  const model::ModelConfig& config_;
  Json types_, layouts_;
};

std::vector<Written> tensors_to_write(const Home& home, const model::ModelConfig& config, const Stored& stored) {
  std::set<std::string> own;
  for (const auto& tensor : tensors_of(config)) own.insert(tensor.name);
  std::vector<Written> out;
  for (const auto& tensor : tensors_of(home.foreign)) {
    const bool is_own = own.contains(tensor.name);
    const auto layouts = layouts_of(home, tensor, is_own);
    if (layouts.empty()) throw std::logic_error("no rule for " + tensor.name);
    for (const auto& piece : stored.layout_of(tensor, layouts)) {
      const auto type =
          is_own ? stored.type_of(tensor, piece.name) : (tensor.is_state() ? at::kFloat : stored.usual_type());
      out.push_back({{piece.name, type, piece.shape}, tensor, piece});
    }
    if (tensor.name == "embedding.weight" && home.foreign.tie_embeddings && !stored.tied_head().empty()) {
      if (stored.tied_head() == "copy") out.push_back(out.back());
      out.back().spec.name = tied_head_name();
      out.back().spec.dtype = stored.type_of(tensor, tied_head_name());
    }
  }
  if (home.family->empty_shared == nullptr || home.foreign.shared_width() > 0) return out;
  for (const int64_t layer : layers_with_experts(home.foreign))
    for (const auto& empty : home.family->empty_shared(home.foreign)) {
      Piece piece{with_layer(empty.name, layer), empty.shape};
      piece.is_zero = true;
      out.push_back({{piece.name, stored.usual_type(), piece.shape}, {}, piece});
    }
  return out;
}

// ---- config.json ----

Json origin_config(const fs::path& origin) {
  if (origin.empty() || !fs::exists(origin / "config.json")) return {};
  return HfConfig(origin).json();
}

// The longest sequence of the origin, where its config.json can still be read.
std::optional<int64_t> longest_of_origin(const Json& config, const std::string& where) {
  const Family* family = config.is_object() ? find_family(config) : nullptr;
  if (family == nullptr) return std::nullopt;
  try {
    return read_with(*family, HfConfig(config, where)).max_sequence_length;
  } catch (const CheckpointError&) {
    return std::nullopt;
  }
}

// The family that a model came from, where transformers can load it again: a class that is no part of transformers
// needs its code, which auto_map names. "" where there is none.
std::string family_of_origin(const Json& config) {
  const Family* family = config.is_object() ? find_family(config) : nullptr;
  const bool is_loadable = family != nullptr && (!family->is_remote || config.find("auto_map") != nullptr);
  return is_loadable ? family->model_type : "";
}

// Keys of the rotation, which stand in two forms.
constexpr const char* kRotationKeys[] = {"rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor"};

// What the config.json of the origin says, where that is the model as it is evaluated.
std::optional<model::ModelConfig> same_in_origin(const Home& home, const Json& origin, const std::string& where) {
  if (!origin.is_object() || find_family(origin) != home.family) return std::nullopt;
  try {
    auto read = read_with(*home.family, HfConfig(origin, where));
    const bool is_same = runtime_differences(runtime_form(home.foreign), runtime_form(read.model)).empty() &&
                         read.max_sequence_length == home.max_sequence_length;
    return is_same ? std::optional(std::move(read.model)) : std::nullopt;
  } catch (const CheckpointError&) {
    return std::nullopt;
  }
}

// Noise on the hidden states that the router and the experts see in training, as Mixtral has it; 0 where there is none.
double hidden_jitter(const model::ModelConfig& config) {
  if (!config.is_moe()) return 0;
  const Json options = moe::make_router(config.router_shape(), config.router)->options();
  const Json* jitter = options.find("jitter");
  return jitter != nullptr && options.at("jitter_target") == Json("hidden") ? jitter->as_double() : 0;
}

// Keys that act in training alone, of a config.json that otherwise stays what it was.
void renew_training_keys(const model::ModelConfig& config, const model::ModelConfig& before, const Home& home,
                         Json& out) {
  // `other`: a second name of the key, which stays where the file has it.
  const auto renew = [&](const char* key, const char* other = nullptr) {
    const Json* value = home.config.find(key);
    if (value == nullptr) return;
    const bool has_other = other != nullptr && out.find(other) != nullptr;
    if (has_other) out[other] = *value;
    if (!has_other || out.find(key) != nullptr) out[key] = *value;
  };
  if (to_json(config.balance) != to_json(before.balance)) {
    for (const char* key : {"router_aux_loss_coef", "aux_loss_alpha", "seq_aux", "router_z_loss_factor"}) renew(key);
    renew("router_aux_loss_factor", "aux_loss_factor");
  }
  if (config.capacity.factor_train != before.capacity.factor_train)
    renew("router_capacity_factor_train", "capacity_factor_train");
  const bool has_jitter = home.config.find("router_jitter_noise") != nullptr;
  if (has_jitter && hidden_jitter(config) != hidden_jitter(before)) out["router_jitter_noise"] = hidden_jitter(config);
}

// The keys of a folder whose code came along, which reads these and no others.
Json config_of_code(Json origin, const char* type) {
  for (const char* key : {"dtype", "torch_dtype"})
    if (origin.find(key) != nullptr) origin[key] = type;
  return origin;
}

Json config_to_write(const model::ModelConfig& config, const Home& home, const Json& origin, at::ScalarType type,
                     const std::string& where) {
  const char* name = type == at::kFloat ? "float32" : type == at::kHalf ? "float16" : "bfloat16";
  Json out = home.config;
  if (const auto before = same_in_origin(home, origin, where)) {
    out = origin;
    renew_training_keys(config, *before, home, out);
    if (home.family->is_remote) return config_of_code(std::move(out), name);
    out.erase("quantization_config");  // what was in 4 or 8 bits is not any more
    const bool has_both_forms = origin.find("rope_theta") != nullptr && origin.find("rope_parameters") != nullptr;
    for (const auto& [key, value] : home.config.as_object()) {
      const bool is_rotation =
          std::find(std::begin(kRotationKeys), std::end(kRotationKeys), key) != std::end(kRotationKeys);
      if (out.find(key) == nullptr || (is_rotation && !has_both_forms)) out[key] = value;
    }
    if (out.find("num_nextn_predict_layers") != nullptr) out["num_nextn_predict_layers"] = 0;  // they are not kept
  } else {
    // What is not known is said to be unknown: the defaults of the classes are ids of other vocabularies.
    for (const char* key :
         {"bos_token_id", "eos_token_id", "pad_token_id", "initializer_range", "tokenizer_class", "auto_map"}) {
      const Json* known = key == std::string_view("auto_map") && !home.family->is_remote ? nullptr : origin.find(key);
      const bool is_id = std::string_view(key).ends_with("_id");
      if (known != nullptr || is_id) out[key] = known != nullptr ? *known : Json();
    }
    out["use_cache"] = true;
  }
  for (const char* key : {"dtype", "torch_dtype"}) out[key] = name;
  return out;
}

// As Python writes it: 1.0 is no whole number, which the types of the classes' settings ask for.
std::string python_text(const Json& json, const std::string& indent = "") {
  const std::string inner = indent + "  ";
  if (json.is_number() && !json.is_integer()) {
    const std::string text = format_double(json.as_double());
    return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
  }
  if ((!json.is_object() && !json.is_array()) || json.size() == 0) return json.dump();
  std::string out = json.is_object() ? "{" : "[";
  const char* separator = "\n";
  const auto add = [&](const std::string& entry) {
    out += separator + inner + entry;
    separator = ",\n";
  };
  if (json.is_object())
    for (const auto& [key, value] : json.as_object()) add(Json(key).dump() + ": " + python_text(value, inner));
  if (json.is_array())
    for (const auto& value : json.as_array()) add(python_text(value, inner));
  return out + "\n" + indent + (json.is_object() ? "}" : "]");
}

// ---- what is said ----

// `written` is the model as the config.json of the export says it.
void note_training_only(const model::ModelConfig& config, const model::ModelConfig& written,
                        std::vector<std::string>& notices) {
  std::string lost;
  const auto& kept = written.balance;
  for (const auto& term : config.balance.terms) {
    const bool is_kept = std::any_of(kept.terms.begin(), kept.terms.end(), [&](const auto& other) {
      return other.loss.text() == term.loss.text() && other.coefficient == term.coefficient;
    });
    if (!is_kept) add_to_list(lost, "the balance loss " + term.loss.text());
  }
  if (config.balance.z_coefficient > 0 && config.balance.z_coefficient != kept.z_coefficient)
    add_to_list(lost, "the z-loss");
  if (config.is_moe()) {
    const Json options = moe::make_router(config.router_shape(), config.router)->options();
    const std::string kind = options.at("kind").as_string();
    if (kind == "loss_free") add_to_list(lost, "the updates of the router's bias");
    if (kind == "sinkhorn") add_to_list(lost, "Sinkhorn's balanced plan");
    const Json* jitter = options.find("jitter");
    const bool is_kept = hidden_jitter(config) > 0 && hidden_jitter(written) == hidden_jitter(config);
    if (jitter != nullptr && jitter->as_double() > 0 && !is_kept) add_to_list(lost, "jitter");
  }
  if (!lost.empty())
    notices.push_back("what acts in training alone stands in " + std::string(kExportName) + " only: " + lost);
}

std::vector<std::string> notices_of(const model::ModelConfig& config, const Home& home,
                                    const model::ModelConfig& written, const fs::path& origin) {
  std::vector<std::string> out;
  for (const auto& name : home.detours) out.push_back(std::string(name) + ": " + detour_named(name, "").notice);
  out.insert(out.end(), home.notices.begin(), home.notices.end());
  note_training_only(config, written, out);
  bool has_tokenizer = false;
  for (const auto& name : origin.empty() ? std::vector<std::string>() : origin_names(origin))
    has_tokenizer = has_tokenizer || name.starts_with("tokenizer");
  if (!has_tokenizer) out.emplace_back("the checkpoint has no files of a tokenizer, so the folder has none");
  return out;
}

// ---- files ----

std::vector<std::vector<size_t>> shards_of(const std::vector<Written>& tensors, int64_t shard_bytes) {
  std::vector<std::vector<size_t>> out(1);
  int64_t bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto n = static_cast<int64_t>(tensors[i].spec.n_bytes());
    if (bytes + n > shard_bytes && !out.back().empty()) {
      out.emplace_back();
      bytes = 0;
    }
    bytes += n;
    out.back().push_back(i);
  }
  return out;
}

std::string shard_name(size_t index, size_t n) {
  if (n == 1) return "model.safetensors";
  char text[64];
  std::snprintf(text, sizeof text, "model-%05zu-of-%05zu.safetensors", index + 1, n);
  return text;
}

class Writer {
 public:
  Writer(const Stored& stored, std::vector<Written> tensors) : stored_(stored), tensors_(std::move(tensors)) {
    for (const auto& tensor : tensors_) total_ += static_cast<double>(tensor.spec.n_bytes());
  }

  std::vector<std::string> write_shards(const fs::path& folder, int64_t shard_bytes) {
    Progress progress("exporting", total_, "GB", 1e9);
    const auto shards = shards_of(tensors_, shard_bytes);
    Json map = Json::object();
    std::vector<std::string> names;
    double done = 0;
    for (size_t shard = 0; shard < shards.size(); ++shard) {
      names.push_back(shard_name(shard, shards.size()));
      std::vector<TensorSpec> specs;
      for (const size_t i : shards[shard]) {
        specs.push_back(tensors_[i].spec);
        map[tensors_[i].spec.name] = names.back();
      }
      write_safetensors(folder / names.back(), specs, {{"format", "pt"}}, [&](size_t index) {
        const Written& tensor = tensors_[shards[shard][index]];
        auto out = stored_.load(tensor);
        done += static_cast<double>(tensor.spec.n_bytes());
        progress.update(done, human_bytes(done) + " of " + human_bytes(total_));
        return out;
      });
    }
    if (shards.size() == 1) return names;
    names.emplace_back("model.safetensors.index.json");
    const Json index = Json::Object{{"metadata", Json::Object{{"total_size", static_cast<int64_t>(total_)}}},
                                    {"weight_map", std::move(map)}};
    write_file_atomically(folder / names.back(), index.dump(2) + "\n");
    return names;
  }

 private:
  const Stored& stored_;
  std::vector<Written> tensors_;
  double total_ = 0;
};

Json export_json(const ModelSource& source, const Home& home, const std::vector<std::string>& files) {
  Json out = Json::object();
  out["format"] = kExportFormat;
  out["evenkeel"] = EVENKEEL_VERSION;
  out["family"] = home.family->model_type;
  out["detours"] = home.detours;
  out["step"] = source.state.at("step");
  out["tokens"] = source.state.at("tokens");
  out["model"] = model::model_config_json(source.config);
  out["files"] = files;
  return out;
}

}  // namespace

Exported export_model(const fs::path& model, const fs::path& folder, const ExportOptions& options) {
  require<CheckpointError>(!is_hf_folder(model), model.string(),
                           ": got a Hugging Face folder; need a checkpoint or run of evenkeel");
  if (!options.family.empty()) family_named(options.family, "--family");
  const ModelSource source = open_model(model);
  const std::string where = source.folder.string();
  require_own_outputs({{folder, OutputKind::exported}}, {source.folder});
  // 1. What the folder will say, and where each tensor of it comes from.
  const fs::path origin = origin_of(source.folder);
  const Json kept = origin_config(origin);
  const std::string family = options.family.empty() ? family_of_origin(kept) : options.family;
  const int64_t length = longest_of_origin(kept, (origin / "config.json").string()).value_or(source.sequence_length);
  const Home home = find_home(as_evaluated(source.config, where), family, length, where);
  require<CheckpointError>(options.family.empty() || home.family->model_type == options.family, where,
                           ": got --family ", options.family, ", which cannot express the model; need ",
                           home.family->model_type, " or none");
  const Stored stored(source.folder, source.config);
  auto tensors = tensors_to_write(home, source.config, stored);
  if (options.dtype)
    for (auto& tensor : tensors)
      if (!tensor.own.is_state()) tensor.spec.dtype = *options.dtype;
  const Json config = config_to_write(source.config, home, kept, options.dtype.value_or(stored.usual_type()),
                                      (origin / "config.json").string());
  const auto written = read_with(*home.family, HfConfig(config, where)).model;
  Exported out{home.family->model_type, notices_of(source.config, home, written, origin),
               static_cast<int64_t>(tensors.size()), 0};
  // 2. The files; evenkeel's own, which lists the others, last.
  write_folder(folder, OutputKind::exported, [&](const fs::path& temporary) {
    auto files = Writer(stored, std::move(tensors)).write_shards(temporary, options.shard_bytes);
    for (const auto& name : origin.empty() ? std::vector<std::string>() : origin_names(origin))
      if (name != "config.json") {
        write_file_atomically(temporary / name, read_file(origin / name));
        files.push_back(name);
      }
    write_file_atomically(temporary / "config.json",
                          config == kept ? read_file(origin / "config.json") : python_text(config) + "\n");
    files.emplace_back("config.json");
    std::sort(files.begin(), files.end());
    write_file_atomically(temporary / kExportName, export_json(source, home, files).dump(1) + "\n");
    out.n_files = static_cast<int64_t>(files.size()) + 1;
  });
  return out;
}

}  // namespace evenkeel::checkpoint
