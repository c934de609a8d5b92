#include "checkpoint/families/hf_keys.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "checkpoint/families/rotation_keys.h"
#include "core/errors.h"
#include "model/attention/attention.h"

namespace evenkeel::checkpoint {

HfForm form_of(const model::ModelConfig& config, int64_t max_sequence_length) {
  HfForm form{.config = config, .max_sequence_length = max_sequence_length};
  form.attention = model::make_attention(config, 0)->options();
  if (config.n_experts > 0) form.router = moe::make_router(config.router_shape(), config.router)->options();
  return form;
}

model::ModelConfig config_of(const HfForm& form, const std::string& where) {
  model::ModelConfig out = form.config;
  out.attention = config_from_json(form.attention, where);
  out.router = config_from_json(form.router, where);
  model::fill_defaults(out);
  return out;
}

// ---- single keys ----

void HfKeys::only(const char* key, const Json& value) {
  if (reads()) {
    config_->require_only(key, value);
  } else if (!value.is_null()) {
    put(key, value);
  }
}

// ---- the decoder ----

namespace {

constexpr std::pair<const char*, ops::Activation> kActivations[] = {{"silu", ops::Activation::swiglu},
                                                                    {"gelu", ops::Activation::geglu},  // the exact one
                                                                    {"gelu_pytorch_tanh", ops::Activation::geglu_tanh},
                                                                    {"gelu_new", ops::Activation::geglu_tanh},
                                                                    {"swish", ops::Activation::swiglu}};

void activation_key(HfKeys& keys) {
  auto& activation = keys.model().activation;
  if (!keys.reads()) {
    for (const auto& [name, value] : kActivations)
      if (value == activation) return keys.put("hidden_act", name);
    return;
  }
  const std::string text = keys.config().text("hidden_act", "silu");
  std::string known;
  for (const auto& [name, value] : kActivations) {
    if (text == name) {
      activation = value;
      return;
    }
    add_to_list(known, std::string("\"") + name + "\"");
  }
  fail<CheckpointError>(keys.config().where(), ": hidden_act: got \"", text, "\"; need one of: ", known);
}

void check_storage_type(const HfConfig& config) {
  for (const char* key : {"dtype", "torch_dtype"}) {
    std::string name = config.text(key, "float32");
    if (name.starts_with("torch.")) name = name.substr(6);
    const bool is_known = name == "float32" || name == "bfloat16" || name == "float16" || name == "auto";
    require<CheckpointError>(is_known, config.where(), ": ", key, ": got \"", name,
                             "\"; need float32, bfloat16 or float16");
  }
}

// Settings that act in training alone: the model is as it is, and evenkeel trains it without them.
void note_training_only(HfKeys& keys) {
  for (const char* key : {"attention_dropout", "hidden_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop"}) {
    const Json* value = keys.config().find(key);
    if (value == nullptr) continue;
    if (!value->is_number() || !(value->as_double() >= 0 && value->as_double() < 1))
      keys.config().refuse(key, value, "0, or less than 1");
    if (value->as_double() > 0)
      keys.form().notices.push_back(join_parts(keys.config().where(), ": ", key, ": got ", value->dump(),
                                               "; evenkeel has no dropout: evaluation is the same without it, training "
                                               "is not"));
  }
}

// Weights in 4 and 8 bits are known by their tensors; what is said of them must be what these are.
void check_packing(const HfConfig& config) {
  const Json* found = config.find("quantization_config");
  if (found == nullptr) return;
  const Json* method = found->is_object() ? found->find("quant_method") : nullptr;
  if (method == nullptr || (*method != Json("mxfp4") && *method != Json("fp8")))
    config.refuse("quantization_config", found, "quant_method \"mxfp4\" or \"fp8\"");
  const HfConfig inner(*found, config.where() + ": quantization_config");
  for (const char* key : {"quant_method", "modules_to_not_convert", "ignored_layers", "scale_fmt", "dequantize"})
    inner.find(key);
  if (*method == Json("fp8") && inner.find("weight_block_size") == nullptr)
    inner.refuse("weight_block_size", nullptr, "[128,128]: one scale for each block");
  inner.require_only("fmt", "e4m3");
  inner.require_only("weight_block_size", Json::Array{int64_t{128}, int64_t{128}});
  inner.require_only("activation_scheme", "dynamic");
  inner.require_all_known();
}

void head_keys(HfKeys& keys, const DecoderKeys& of) {
  auto& model = keys.model();
  keys.size("num_attention_heads", model.n_heads);
  if (!keys.reads()) {
    keys.put("num_key_value_heads", model.n_kv_heads);
    if (of.has_head_dim) keys.put("head_dim", model.head_dim);
    return;
  }
  model.n_kv_heads = keys.config().size_or_null("num_key_value_heads", model.n_heads);
  const int64_t usual = model.d_model / model.n_heads;
  if (!of.has_head_dim && usual > 0) keys.config().require_only("head_dim", usual);
  const bool has_own = of.head_dim > 0 && !keys.config().has("head_dim");
  model.head_dim = keys.config().size_or_null("head_dim", has_own ? of.head_dim : usual);
}

}  // namespace

void decoder_keys(HfKeys& keys, const DecoderKeys& of) {
  auto& model = keys.model();
  keys.size("vocab_size", model.vocab_size);
  keys.size("hidden_size", model.d_model);
  keys.size("num_hidden_layers", model.n_layers);
  constexpr int64_t kMostLayers = 10000;  // lists of layers are made below
  if (keys.reads() && model.n_layers > kMostLayers)
    keys.config().refuse("num_hidden_layers", keys.config().find("num_hidden_layers"),
                         "1.." + std::to_string(kMostLayers));
  const bool is_latent = keys.form().attention.find("kind") != nullptr &&
                         keys.form().attention.at("kind") == Json("latent");  // whose heads are its own
  if (!is_latent) head_keys(keys, of);
  keys.number("rms_norm_eps", model.norm_eps, of.norm_eps);
  if (keys.reads()) {
    keys.form().max_sequence_length = keys.config().size("max_position_embeddings", of.max_sequence_length);
    check_packing(keys.config());
    check_storage_type(keys.config());
    note_training_only(keys);
  }
  rotation_keys(keys, of.theta, of.rotary_fraction);
  if (!keys.reads()) keys.put("max_position_embeddings", keys.form().max_sequence_length);
  if (!of.activation) activation_key(keys);
  if (of.activation && keys.reads()) model.activation = *of.activation;
  keys.flag("tie_word_embeddings", model.tie_embeddings, false);
}

void attention_bias(HfKeys& keys, const char* key, bool absent, bool has_out_bias) {
  auto& attention = keys.form().attention;
  keys.flag(key, attention["qkv_bias"], absent);
  if (keys.reads()) attention["out_bias"] = has_out_bias && attention.at("qkv_bias").as_bool();
}

namespace {

// The layers that `layer_types` gives the window.
std::vector<int64_t> windowed_layers(const HfConfig& config, const Json& types, int64_t n_layers) {
  if (!types.is_array() || static_cast<int64_t>(types.size()) != n_layers)
    config.refuse("layer_types", &types, "a list of " + std::to_string(n_layers) + " layers");
  std::vector<int64_t> out;
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    const Json& type = types.at(static_cast<size_t>(layer));
    const bool is_windowed = type == Json("sliding_attention");
    if (!is_windowed && type != Json("full_attention"))
      config.refuse("layer_types", &type, "\"full_attention\" or \"sliding_attention\"");
    if (is_windowed) out.push_back(layer);
  }
  return out;
}

model::LayerSet layer_set(std::vector<int64_t> layers, int64_t n_layers) {
  if (static_cast<int64_t>(layers.size()) == n_layers) return {};
  return {0, std::move(layers)};
}

}  // namespace

void sliding_window(HfKeys& keys, const char* use_key) {
  auto& attention = keys.form().attention;
  if (!keys.reads()) {
    const int64_t window = attention.at("window").as_int();
    keys.put("sliding_window", window > 0 ? Json(window) : Json());
    if (use_key != nullptr) keys.put(use_key, window > 0);
    return;
  }
  const HfConfig& config = keys.config();
  const Json* types = config.find("layer_types");
  config.find("max_window_layers");  // counts for nothing: all layers have the window
  const bool is_used = use_key == nullptr || config.flag(use_key, false);
  const int64_t window = is_used ? config.count("sliding_window", 0) : (config.find("sliding_window"), 0);
  attention["window"] = window;
  if (window == 0 || types == nullptr) return;
  const bool is_list = types->is_array() && static_cast<int64_t>(types->size()) == keys.model().n_layers;
  if (!is_list ||
      !std::ranges::all_of(types->as_array(), [](const Json& type) { return type == Json("sliding_attention"); }))
    config.refuse("layer_types", types,
                  "\"sliding_attention\" for all layers: the class gives them all the window, whatever this list says");
}

void read_listed_window(HfKeys& keys, int64_t window, std::vector<int64_t> usual) {
  const HfConfig& config = keys.config();
  auto& attention = keys.form().attention;
  const int64_t n_layers = keys.model().n_layers;
  config.find("max_window_layers");  // counts for nothing beside layer_types
  const Json* types = config.find("layer_types");
  auto layers = types != nullptr ? windowed_layers(config, *types, n_layers) : std::move(usual);
  if (types != nullptr && !layers.empty() && window == 0)
    config.refuse("layer_types", types, "no sliding_attention: there is no sliding_window");
  attention["window"] = layers.empty() ? int64_t{0} : window;
  const bool is_in_some = !layers.empty() && static_cast<int64_t>(layers.size()) < n_layers;
  if (window > 0 && is_in_some) attention["window_layers"] = to_json(layer_set(std::move(layers), n_layers));
}

void alternating_window(HfKeys& keys, int64_t absent) {
  const int64_t n_layers = keys.model().n_layers;
  if (keys.reads()) {
    std::vector<int64_t> every_other;
    for (int64_t layer = 0; layer < n_layers; layer += 2) every_other.push_back(layer);
    return read_listed_window(keys, keys.config().count("sliding_window", absent), std::move(every_other));
  }
  const auto& attention = keys.form().attention;
  const int64_t window = attention.at("window").as_int();
  model::LayerSet layers;
  read_value(config_from_json(attention.at("window_layers"), ""), "", layers);
  Json types = Json::array();
  for (int64_t layer = 0; layer < n_layers; ++layer)
    types.push_back(window > 0 && layers.contains(layer) ? "sliding_attention" : "full_attention");
  keys.put("layer_types", std::move(types));
  keys.put("sliding_window", window > 0 ? window : absent);
}

void latent_attention(HfKeys& keys) {
  auto& model = keys.model();
  auto& attention = keys.form().attention;
  keys.size("num_attention_heads", model.n_heads);
  keys.size("kv_lora_rank", attention["kv_rank"], 512);
  if (keys.reads()) {
    const HfConfig& config = keys.config();
    attention["kind"] = "latent";
    attention["q_rank"] = config.has("q_lora_rank") ? config.count("q_lora_rank", 0) : int64_t{1536};
    const int64_t nope = config.size("qk_nope_head_dim", 128), rope = config.size("qk_rope_head_dim", 64);
    attention["rope_dim"] = rope;
    attention["value_dim"] = config.size("v_head_dim", 128);
    attention["norm_eps"] = 1e-6;  // whatever rms_norm_eps says
    model.head_dim = nope + rope;
    model.n_kv_heads = config.size_or_null("num_key_value_heads", model.n_heads);
    if (model.n_kv_heads != model.n_heads)
      config.refuse("num_key_value_heads", config.find("num_key_value_heads"),
                    std::to_string(model.n_heads) + ", as num_attention_heads");
    config.require_only("head_dim", rope);  // transformers 5 writes it; it is no size of a query
    config.require_only("qk_head_dim", model.head_dim);
  } else {
    const Json& q_rank = attention.at("q_rank");
    const int64_t rope = attention.at("rope_dim").as_int();
    keys.put("q_lora_rank", q_rank == Json(0) ? Json() : q_rank);
    keys.put("qk_nope_head_dim", model.head_dim - rope);
    keys.put("qk_rope_head_dim", rope);
    keys.put("v_head_dim", attention.at("value_dim"));
    keys.put("num_key_value_heads", model.n_kv_heads);
  }
  keys.flag("attention_bias", attention["bias"], false);
}

// ---- experts ----

void expert_keys(HfKeys& keys, const char* own_key, const char* width_key, std::optional<int64_t> width_absent) {
  auto& model = keys.model();
  if (keys.reads()) {
    const HfConfig& config = keys.config();
    const char* found = nullptr;
    for (const char* key : {own_key, "num_experts", "num_local_experts", "n_routed_experts"}) {
      if (config.find(key) == nullptr) continue;
      const int64_t n = config.size(key);
      if (found != nullptr && n != model.n_experts)
        config.refuse(key, config.find(key), std::to_string(model.n_experts) + ", as " + found + " says");
      model.n_experts = n;
      found = key;
    }
    if (found == nullptr) config.size(own_key);  // says what is missing
  } else {
    keys.put(own_key, model.n_experts);
  }
  keys.size("num_experts_per_tok", model.top_k);
  keys.size(width_key, model.d_expert, width_absent);
}

void divide_a_single_weight(HfKeys& keys) {
  if (keys.model().top_k == 1) keys.form().router["renormalize_one"] = true;
}

bool divides_by_the_sum(const Json& router, int64_t top_k) {
  const auto is = [&](const char* key, const Json& value) {
    return router.find(key) != nullptr && router.at(key) == value;
  };
  return is("score", "softmax_post") || (is("renormalize", true) && (top_k > 1 || is("renormalize_one", true)));
}

void softmax_router(HfKeys& keys, Renormalized renormalized) {
  auto& router = keys.form().router;
  const bool has_key = renormalized == Renormalized::by_key || renormalized == Renormalized::by_key_above_one;
  if (!keys.reads()) {
    if (has_key) keys.put("norm_topk_prob", divides_by_the_sum(router, keys.model().top_k));
    return;
  }
  router["kind"] = "top_k";
  router["score"] = "softmax_pre";
  const bool is_on = has_key ? keys.config().flag("norm_topk_prob", false) : renormalized == Renormalized::always;
  router["renormalize"] = is_on;
  if (is_on && renormalized != Renormalized::by_key_above_one) divide_a_single_weight(keys);
}

void sigmoid_router(HfKeys& keys, int64_t n_groups, int64_t groups_per_token, double scaling) {
  auto& router = keys.form().router;
  if (keys.reads()) {
    router["kind"] = "loss_free";
    router["score"] = "sigmoid";
    router["group_score"] = "top2_sum";
    keys.config().require_only("scoring_func", "sigmoid");
    keys.config().require_only("topk_method", "noaux_tc");
  } else if (router.at("kind") == Json("top_k")) {
    return;  // has no bias
  }
  keys.size("n_group", router["n_groups"], n_groups);
  keys.size("topk_group", router["groups_per_token"], groups_per_token);
  keys.number("routed_scaling_factor", router["scaling"], scaling);
  if (!keys.reads()) return keys.put("norm_topk_prob", divides_by_the_sum(router, keys.model().top_k));
  router["renormalize"] = keys.config().flag("norm_topk_prob", true);
  if (router.at("renormalize") == Json(true)) divide_a_single_weight(keys);
  if (router.at("n_groups") == Json(1)) router.erase("group_score");
}

namespace {

double coefficient_of(HfKeys& keys, const char* key, double absent) {
  const double value = keys.config().number(key, absent);
  require<CheckpointError>(value >= 0, keys.config().where(), ": ", key, ": got ", value, "; need at least 0");
  return value;
}

// The coefficient of a model's one balance loss, if it is this one; 0 otherwise.
double coefficient_in(const model::ModelConfig& model, const std::string& loss) {
  const auto& terms = model.balance.terms;
  return terms.size() == 1 && terms[0].loss.text() == loss ? terms[0].coefficient : 0;
}

}  // namespace

void aux_loss(HfKeys& keys, double absent) {
  auto& model = keys.model();
  if (!keys.reads()) return keys.put("router_aux_loss_coef", coefficient_in(model, "hf"));
  const double coefficient = coefficient_of(keys, "router_aux_loss_coef", absent);
  if (coefficient > 0) model.balance.terms = {{"hf", coefficient}};
}

void deepseek_aux_loss(HfKeys& keys, double absent) {
  auto& model = keys.model();
  const double sequence = coefficient_in(model, "deepseek_sequence"), batch = coefficient_in(model, "deepseek_batch");
  if (!keys.reads()) {
    keys.put("aux_loss_alpha", sequence + batch);
    return keys.put("seq_aux", batch == 0);
  }
  const double coefficient = coefficient_of(keys, "aux_loss_alpha", absent);
  const bool is_by_sequence = keys.config().flag("seq_aux", true);
  if (coefficient > 0) model.balance.terms = {{is_by_sequence ? "deepseek_sequence" : "deepseek_batch", coefficient}};
}

void shared_by_count(HfKeys& keys, int64_t absent) {
  auto& model = keys.model();
  if (keys.reads()) {
    model.n_shared_experts = keys.config().count("n_shared_experts", absent);
    model.d_shared = model.n_shared_experts * model.d_expert;
    return;
  }
  keys.put("n_shared_experts", model.d_expert > 0 ? model.shared_width() / model.d_expert : 0);
}

void dense_first_layers(HfKeys& keys, int64_t absent) {
  auto& model = keys.model();
  if (!keys.reads()) {
    const auto layers = layers_with_experts(model);
    keys.put("intermediate_size", model.d_ff > 0 ? model.d_ff : model.d_expert);
    return keys.put("first_k_dense_replace", layers.empty() ? model.n_layers : layers.front());
  }
  model.d_ff = keys.config().size("intermediate_size");
  const int64_t first = keys.config().count("first_k_dense_replace", absent);
  if (first >= model.n_layers)
    keys.config().refuse("first_k_dense_replace", keys.config().find("first_k_dense_replace"),
                         "less than num_hidden_layers = " + std::to_string(model.n_layers));
  std::vector<int64_t> layers;
  for (int64_t layer = first; layer < model.n_layers; ++layer) layers.push_back(layer);
  model.moe_layers = layer_set(std::move(layers), model.n_layers);
}

void dense_listed_layers(HfKeys& keys) {
  auto& model = keys.model();
  if (!keys.reads()) {
    std::vector<int64_t> dense;
    for (int64_t layer = 0; layer < model.n_layers; ++layer)
      if (!model.has_experts(layer)) dense.push_back(layer);
    keys.put("decoder_sparse_step", 1);
    keys.put("mlp_only_layers", dense);
    return keys.put("intermediate_size", model.d_ff > 0 ? model.d_ff : model.d_expert);
  }
  const HfConfig& config = keys.config();
  model.d_ff = config.size("intermediate_size", 1);
  const int64_t step = config.size("decoder_sparse_step", 1);
  const Json* listed = config.find("mlp_only_layers");
  if (listed != nullptr && !listed->is_array()) config.refuse("mlp_only_layers", listed, "a list of layers");
  std::set<int64_t> dense;
  if (listed != nullptr)
    for (const Json& entry : listed->as_array()) {
      if (!entry.is_integer() || entry.as_int() < 0 || entry.as_int() >= model.n_layers)
        config.refuse("mlp_only_layers", listed, "layers 0.." + std::to_string(model.n_layers - 1));
      dense.insert(entry.as_int());
    }
  std::vector<int64_t> layers;
  for (int64_t layer = 0; layer < model.n_layers; ++layer)
    if (!dense.contains(layer) && (layer + 1) % step == 0) layers.push_back(layer);
  if (layers.empty())
    config.refuse(listed != nullptr ? "mlp_only_layers" : "decoder_sparse_step", listed,
                  "at least one layer with experts");
  model.moe_layers = layer_set(std::move(layers), model.n_layers);
}

}  // namespace evenkeel::checkpoint
