// The shape of a model: [model] of a recipe. Legend: H d_model, V vocab_size, E n_experts, K top_k, L layers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/config_tree.h"
#include "moe/balance_loss.h"
#include "model/rope_scaling.h"
#include "moe/capacity_config.h"
#include "ops/gated_ffn.h"

namespace evenkeel::model {

// Some of the layers: "all", "every 4" (layers i with (i+1) % 4 == 0), or a list of layers.
struct LayerSet {
  int64_t every = 1;  // 0 when `list` is used
  std::vector<int64_t> list;
  bool contains(int64_t layer) const;
  bool operator==(const LayerSet&) const = default;
};
void read_value(const ConfigNode& node, const std::string& path, LayerSet& out);
Json to_json(const LayerSet& layers);
inline std::string type_of(const LayerSet&) { return "string or list of whole numbers"; }
// ConfigError where a list names a layer that a model of n_layers has not. `begin`: how the message begins.
void check_layers(const LayerSet& layers, int64_t n_layers, const std::string& begin);

// false, true (RMSNorm over the whole projection) or "per_head".
enum class QkNorm { none, whole, per_head };
void read_value(const ConfigNode& node, const std::string& path, QkNorm& out);
Json to_json(const QkNorm& norm);
inline std::string type_of(const QkNorm&) { return "boolean or string"; }

// Where the RMSNorm of a branch stands: on what it sees (Llama), or on what it gives (OLMo 2, arXiv 2501.00656).
enum class NormPlacement { before, after };
std::span<const Named<NormPlacement>> names_of(NormPlacement);

// The distribution of initial weights (model/init.h).
enum class Init { scaled_normal, normal, truncated_normal, small_wang, t5 };
std::span<const Named<Init>> names_of(Init);

// What rows of the vocabulary begin with that the weights of [model] from lack: embeddings, and an untied head.
enum class NewEmbeddings {
  mean,    // of the rows of all old pieces
  normal,  // as those of a new model: `init`
  zero,
  pieces  // of the old rows that the old tokenizer makes of the new piece's text
};
std::span<const Named<NewEmbeddings>> names_of(NewEmbeddings);

struct ModelConfig {
  int64_t vocab_size = 0, d_model = 0, n_layers = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0, d_ff = 0;
  int64_t n_experts = 0, n_shared_experts = 0, top_k = 0, d_expert = 0, d_shared = 0;
  bool shared_gate = false;
  LayerSet moe_layers;
  double rope_theta = 1e4;
  double rotary_fraction = 1.0;
  ops::RotaryPairs rope_pairs = ops::RotaryPairs::halves;
  RopeScaling rope_scaling;
  int64_t d_extra = 0;
  ops::Activation activation = ops::Activation::swiglu;
  double activation_alpha = ops::GatedForm().alpha, activation_limit = ops::GatedForm().limit;
  bool ffn_bias = false, expert_bias = false, router_bias = false, tie_embeddings = false;
  QkNorm qk_norm = QkNorm::none;
  double norm_eps = 1e-5;
  NormPlacement norm_placement = NormPlacement::before;
  double embedding_multiplier = 1, residual_multiplier = 1, logits_scaling = 1;
  Init init = Init::scaled_normal;
  ConfigNode attention;  // read by the registry of attention
  ConfigNode router;     // read by the router's registry
  moe::BalanceConfig balance;
  moe::CapacityConfig capacity;

  static void visit_fields(auto& config, auto&& field) {
    field("vocab_size", config.vocab_size, {"V, rows of the embedding", "token ids", kRequired});
    field("d_model", config.d_model, {"H, width of the residual stream", "features", kRequired});
    field("n_layers", config.n_layers, {"L, number of blocks", "layers", kRequired});
    field("n_heads", config.n_heads, {"attention heads", "heads", kRequired});
    field("n_kv_heads", config.n_kv_heads, {"key and value heads; a divisor of n_heads", "heads", "as n_heads"});
    field("head_dim", config.head_dim, {"width of a head", "features", "d_model / n_heads"});
    field("d_ff", config.d_ff,
          {"inner width of dense layers; of a model without them that of its dense twin", "features",
           "required by dense layers"});
    field("n_experts", config.n_experts, {"E, routed experts; 0 = dense", "experts"});
    field("n_shared_experts", config.n_shared_experts, {"experts that every token passes", "experts"});
    field("top_k", config.top_k, {"K, routed experts a token", "experts", "required by experts"});
    field("d_expert", config.d_expert, {"I, inner width of an expert", "features", "required by experts"});
    field("d_shared", config.d_shared,
          {"inner width of all shared experts together", "features", "n_shared_experts x d_expert"});
    field("shared_gate", config.shared_gate,
          "what the shared experts give is multiplied by the sigmoid of a learned product with the token (Qwen)");
    field("d_extra", config.d_extra,
          {"inner width of a feed-forward network behind the experts, with a norm of its own (OpenMoE); 0: none",
           "features"});
    field("moe_layers", config.moe_layers,
          {"\"all\", \"every 4\" (layers i with (i + 1) % 4 = 0) or a list of layers", "layers"});
    field("rope_theta", config.rope_theta, "base of the rotary angles");
    field("rotary_fraction", config.rotary_fraction, {"share of a head that is rotated", "fraction 0..1"});
    field("rope_pairs", config.rope_pairs,
          "features that turn together: halves (j and j + d/2) or interleaved (2j and 2j + 1)");
    field("rope_scaling", config.rope_scaling, {"rotation for longer contexts: kind and its keys", "", "none"});
    field(
        "activation", config.activation,
        "swiglu, geglu (exact GELU), geglu_tanh (its tanh formula), swiglu_clamped (gpt-oss) or swiglu_double (a gate "
        "of twice the width; OpenMoE)");
    field("activation_alpha", config.activation_alpha, "of swiglu_clamped: factor within its sigmoid");
    field("activation_limit", config.activation_limit, "of swiglu_clamped: greatest size of gate and up");
    field("ffn_bias", config.ffn_bias, "dense layers have biases");
    field("expert_bias", config.expert_bias, "routed experts have biases (gpt-oss)");
    field("router_bias", config.router_bias, "the router's logits have a bias (gpt-oss)");
    field("tie_embeddings", config.tie_embeddings, "the head is the embedding");
    field("qk_norm", config.qk_norm, "false, true (whole projection) or \"per_head\"");
    field("norm_eps", config.norm_eps, "epsilon of RMSNorm");
    field("norm_placement", config.norm_placement,
          "before: on what attention and feed-forward networks see; after: on what they give");
    field("embedding_multiplier", config.embedding_multiplier, "factor on the embeddings");
    field("residual_multiplier", config.residual_multiplier,
          "factor on what attention and feed-forward networks add to the stream");
    field("logits_scaling", config.logits_scaling, "the logits are divided by it");
    field("init", config.init,
          "scaled_normal, normal, truncated_normal, small_wang or t5 (of T5X and OpenMoE, whose scores are not divided "
          "by sqrt(head_dim): beside attention.scale = 1)");
    field("attention", config.attention, {"kind of attention and its options", "", "grouped"});
    field("router", config.router, {"kind of router and its options", "", "top_k with its defaults"});
    field("balance", config.balance, {"balance loss and z-loss", "", "no balance loss, no z-loss"});
    field("capacity", config.capacity, {"rule of expert capacity and its keys", "", "dropless"});
  }

  moe::RouterShape router_shape() const { return {n_experts, top_k, vocab_size}; }
  bool has_experts(int64_t layer) const { return n_experts > 0 && moe_layers.contains(layer); }
  bool is_moe() const;                           // some layer has experts
  bool has_dense() const;                        // some layer has none
  size_t moe_layers_below(int64_t layer) const;  // how many layers before this one have experts
  int64_t shared_width() const { return n_shared_experts > 0 ? d_shared : 0; }
  ops::GatedForm gated_form() const { return {activation, activation_alpha, activation_limit}; }
  // Of heads whose first `dims` features may turn: of these, the share that rotary_fraction says.
  ops::Rotation rotation(int64_t dims) const;
};

// `[model.rope]` (theta, fraction, pairs, scaling) and, in [model.attention], n_heads, n_kv_heads, head_dim and qk_norm
// are other places for keys of [model]: they are moved there. ConfigError where both are given.
ConfigNode with_flat_keys(ConfigNode model);

// Takes out of a [model] the tables that `changes` replace whole instead of key by key, since their other keys need not
// fit. A change that is an empty table, the default, always replaces. Over a preset one replaces that says its kind (of
// attention, router or scaling), its rule or its loss. Over a recipe it must say another than the recipe does; a
// balance loss then replaces only where the old or the new one is a list.
enum class Over { preset, recipe };
void drop_replaced(ConfigNode& model, const ConfigNode& changes, Over over);

// A [model] whose preset, if it names one, has become keys below its own, as drop_replaced has it. `left_out`: router,
// balance and capacity of the preset do not count, because the model that it is given beside has its own.
enum class PresetTables { taken, left_out };
ConfigNode with_preset(const ConfigNode& node, PresetTables tables);

// Where `given`, a [model] as written, names a router that balances by itself and says nothing of losses, but `config`,
// what came of it with a preset or a base, has a balance loss or z-loss: a sentence that says so and what to set. Empty
// elsewhere.
std::string kept_balance_warning(const ConfigNode& given, const ModelConfig& config);

// [model] as a recipe writes it.
struct ModelTable {
  std::string preset;
  ConfigNode from;                                   // a path; train reads it
  ConfigNode rope;                                   // with_flat_keys has moved its keys
  std::optional<NewEmbeddings> new_embeddings = {};  // train reads it
  ModelConfig model;
  static void visit_fields(auto& table, auto&& field) {
    field("preset", table.preset, {"published shape that the other keys stand above", "", "none"});
    field(
        "rope", table.rope,
        {"another place for rope_theta, rotary_fraction, rope_pairs and rope_scaling: theta, fraction, pairs, scaling",
         "", "none"});
    field("from", table.from,
          {"checkpoint, run or Hugging Face folder that weights and shape come from; the other keys must agree with "
           "it, but for router, balance, capacity, init and a larger vocab_size",
           "", "random weights"});
    field("new_embeddings", table.new_embeddings,
          {"what the new rows of a vocab_size above that of from begin with, and rows of padding there that new pieces "
           "of the tokenizer take: mean (of all old pieces' rows), normal (as init), zero, or pieces (mean of the rows "
           "that the old tokenizer makes of a new piece's text)",
           "", "required by a larger vocab_size"});
    ModelConfig::visit_fields(table.model, field);
  }
};

// Reads [model]: the preset first, the keys above it, defaults filled, everything checked. ConfigError names key,
// value, need.
ModelConfig read_model_config(const ConfigNode& node);
void fill_defaults(ModelConfig& config);
// A message begins with the place of the key in `table`, [model] as it was given, or with `where` where it is not in
// there.
void check_model_config(const ModelConfig& config, const std::string& where, const ConfigNode* table = nullptr);
// ConfigError where a model of `source` in `folder` has a balancing state of the same kind of router, made for another
// value of RouterTraits::state_option.
void check_router_state(const ModelConfig& config, const ModelConfig& source, const std::string& folder);
Json model_config_json(const ModelConfig& config);  // every key, the router's options included
ModelConfig model_config_from_json(const Json& json, const std::string& where);

// Preset name -> its keys as TOML. ConfigError with the nearest name when unknown.
const std::string& preset_toml(const std::string& name, const std::string& where);
std::vector<std::string> preset_names();

}  // namespace evenkeel::model
