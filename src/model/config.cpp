#include "model/config.h"

#include <algorithm>
#include <cmath>

#include "core/got_at.h"
#include "core/with_error.h"
#include "model/attention/attention.h"
#include "moe/router.h"

namespace evenkeel::model {

bool LayerSet::contains(int64_t layer) const {
  if (every > 0) return (layer + 1) % every == 0;
  return std::find(list.begin(), list.end(), layer) != list.end();
}

void read_value(const ConfigNode& node, const std::string& path, LayerSet& out) {
  out = {};
  if (node.is_list()) {
    out.every = 0;
    evenkeel::read_value(node, path, out.list);
    return;
  }
  std::string text;
  if (node.is_string()) text = std::get<std::string>(node.value);
  if (text == "all") return;
  const std::string digits = text.rfind("every ", 0) == 0 ? text.substr(6) : "";
  const bool is_number =
      !digits.empty() && digits.size() < 7 && digits.find_first_not_of("0123456789") == std::string::npos;
  if (!is_number || std::stoll(digits) < 1)
    fail_kind(node, path, "\"all\", \"every N\" with N from 1, or a list of layers");
  out.every = std::stoll(digits);
}

Json to_json(const LayerSet& layers) {
  if (layers.every == 0) return evenkeel::to_json(layers.list);
  return layers.every == 1 ? std::string("all") : "every " + std::to_string(layers.every);
}

void check_layers(const LayerSet& layers, int64_t n_layers, const std::string& begin) {
  for (const int64_t layer : layers.list)
    require<ConfigError>(layer >= 0 && layer < n_layers, begin, layer, "; need layers 0..", n_layers - 1);
}

void read_value(const ConfigNode& node, const std::string& path, QkNorm& out) {
  if (node.is_string() && std::get<std::string>(node.value) == "per_head") {
    out = QkNorm::per_head;
  } else if (const auto* flag = std::get_if<bool>(&node.value)) {
    out = *flag ? QkNorm::whole : QkNorm::none;
  } else {
    fail_kind(node, path, "false, true or \"per_head\"");
  }
}

Json to_json(const QkNorm& norm) {
  if (norm == QkNorm::per_head) return "per_head";
  return norm == QkNorm::whole;
}

namespace {
constexpr Named<Init> kInits[] = {{"scaled_normal", Init::scaled_normal},
                                  {"normal", Init::normal},
                                  {"truncated_normal", Init::truncated_normal},
                                  {"small_wang", Init::small_wang},
                                  {"t5", Init::t5}};
constexpr Named<NewEmbeddings> kNewEmbeddings[] = {{"mean", NewEmbeddings::mean},
                                                   {"normal", NewEmbeddings::normal},
                                                   {"zero", NewEmbeddings::zero},
                                                   {"pieces", NewEmbeddings::pieces}};
constexpr Named<NormPlacement> kNormPlacements[] = {{"before", NormPlacement::before}, {"after", NormPlacement::after}};
}  // namespace
std::span<const Named<NormPlacement>> names_of(NormPlacement) { return kNormPlacements; }
std::span<const Named<Init>> names_of(Init) { return kInits; }
std::span<const Named<NewEmbeddings>> names_of(NewEmbeddings) { return kNewEmbeddings; }

bool ModelConfig::is_moe() const {
  for (int64_t layer = 0; layer < n_layers; ++layer)
    if (has_experts(layer)) return true;
  return false;
}
bool ModelConfig::has_dense() const { return static_cast<int64_t>(moe_layers_below(n_layers)) < n_layers; }

size_t ModelConfig::moe_layers_below(int64_t layer) const {
  if (n_experts <= 0 || layer <= 0) return 0;
  if (moe_layers.every > 0) return static_cast<size_t>(layer / moe_layers.every);
  std::vector<bool> is_listed(static_cast<size_t>(layer));  // each once, however often it is listed
  for (const int64_t listed : moe_layers.list)
    if (listed >= 0 && listed < layer) is_listed[static_cast<size_t>(listed)] = true;
  return static_cast<size_t>(std::count(is_listed.begin(), is_listed.end(), true));
}

ops::Rotation ModelConfig::rotation(int64_t dims) const {
  const double pairs = static_cast<double>(dims) * rotary_fraction / 2;
  return {2 * static_cast<int64_t>(std::floor(pairs + 1e-9)), rope_theta, rope_pairs, rope_scaling.value};
}

void fill_defaults(ModelConfig& config) {
  if (config.n_kv_heads == 0) config.n_kv_heads = config.n_heads;
  if (config.head_dim == 0 && config.n_heads > 0 && config.d_model % config.n_heads == 0)
    config.head_dim = config.d_model / config.n_heads;
  if (config.d_shared == 0) config.d_shared = config.n_shared_experts * config.d_expert;
}

namespace {

struct Check {
  const std::string& where;
  const ConfigNode* table = nullptr;  // of [model]
  std::string place_of(const std::string& key) const {
    return table != nullptr ? evenkeel::place_of(*table, key) : where;
  }
  template <class T>
  void operator()(bool holds, const char* key, const T& value, const std::string& need) const {
    require<ConfigError>(holds, got_at(place_of(key), std::string("model.") + key), value, "; need ", need);
  }
  // `key` contradicts the kind of router: whichever was given on the command line is the place.
  std::string place_beside_router(const std::string& key) const {
    return table != nullptr ? place_of_either(*table, key, "router.kind") : where;
  }
  template <class T>
  void beside_router(bool holds, const char* key, const T& value, const std::string& need) const {
    require<ConfigError>(holds, got_at(place_beside_router(key), std::string("model.") + key), value, "; need ", need);
  }
};

constexpr int64_t kMaxSize = (int64_t{1} << 31) - 1;
const std::string kSizes = "1.." + std::to_string(kMaxSize);

void check_sizes(const ModelConfig& c, const Check& check) {
  const auto positive = [&](const char* key, int64_t value) {
    check(value >= 1 && value <= kMaxSize, key, value, kSizes + " (it has no default)");
  };
  positive("vocab_size", c.vocab_size);
  positive("d_model", c.d_model);
  check(c.n_layers >= 1 && c.n_layers <= 10000, "n_layers", c.n_layers, "1..10000 (it has no default)");
  positive("n_heads", c.n_heads);
  positive("n_kv_heads", c.n_kv_heads);
  check(c.head_dim != 0, "n_heads", c.n_heads,
        "a divisor of d_model = " + std::to_string(c.d_model) + ", or a head_dim");
  check(c.head_dim >= 1 && c.head_dim <= kMaxSize, "head_dim", c.head_dim, kSizes);
  const auto width = [&](int64_t heads) { return static_cast<double>(heads) * static_cast<double>(c.head_dim); };
  check(width(std::max(c.n_heads, c.n_kv_heads)) <= static_cast<double>(kMaxSize), "head_dim", c.head_dim,
        "a width of all heads together of at most " + std::to_string(kMaxSize));
  check(c.n_heads % c.n_kv_heads == 0, "n_kv_heads", c.n_kv_heads,
        "a divisor of n_heads = " + std::to_string(c.n_heads));
  check(c.d_ff >= 0 && c.d_ff <= kMaxSize, "d_ff", c.d_ff, kSizes);
  check(c.rope_theta > 0 && std::isfinite(c.rope_theta), "rope_theta", c.rope_theta, "more than 0");
  check(c.rotary_fraction >= 0 && c.rotary_fraction <= 1, "rotary_fraction", c.rotary_fraction, "0..1");
  check(c.norm_eps > 0, "norm_eps", c.norm_eps, "more than 0");
  check(c.d_extra >= 0 && c.d_extra <= kMaxSize, "d_extra", c.d_extra, "0.." + std::to_string(kMaxSize));
  const ops::GatedForm usual;
  const bool is_clamped = c.activation == ops::Activation::swiglu_clamped;
  const auto check_clamp = [&](const char* key, double value, double default_value) {
    check(value > 0 && std::isfinite(value), key, value, "more than 0");
    check(is_clamped || value == default_value, key, value, "activation = \"swiglu_clamped\" beside it");
  };
  check_clamp("activation_alpha", c.activation_alpha, usual.alpha);
  check_clamp("activation_limit", c.activation_limit, usual.limit);
  for (const auto& [key, value] : {std::pair("embedding_multiplier", c.embedding_multiplier),
                                   {"residual_multiplier", c.residual_multiplier},
                                   {"logits_scaling", c.logits_scaling}})
    check(value > 0 && std::isfinite(value), key, value, "more than 0");
}

// Options of the router that the capacity, or its absence, leaves without effect. Not so renormalize: where the
// capacity divides by the sum too, both say the same.
void check_router_options(const ModelConfig& c, const moe::Router& router, const std::string& where) {
  const Json options = router.options();
  const auto check = [&](const char* key, const Json& neutral, const std::string& need) {
    const Json* value = options.find(key);
    const ConfigNode* given = c.router.find(key);
    if (value == nullptr || *value == neutral) return;
    fail<ConfigError>(got_at(given != nullptr ? given->where : where, std::string("model.router.") + key),
                      value->dump(), "; need ", need);
  };
  if (c.capacity.is_dropless())
    check("counts", "before_drops",
          "a [model.capacity] that drops, or \"before_drops\": without drops they are the same");
  if (c.capacity.renormalize == moe::Renormalize::none || c.top_k == 1) return;
  const std::string need = "1, or model.capacity.renormalize = false: the rule '" + c.capacity.rule +
                           "' divides the weights of a token by their sum, which takes it out again";
  for (const char* key : {"scaling", "norm_p"}) check(key, 1.0, need);
}

// What a router's traits and the capacity ask of the rest of the model.
void check_router(const ModelConfig& c, const moe::Router& router, const Check& check) {
  const auto traits = router.traits();
  const std::string kind = "the router '" + router.options().at("kind").as_string() + "'";
  check.beside_router(c.top_k <= traits.max_top_k, "top_k", c.top_k,
                      std::to_string(traits.max_top_k) + ": " + kind + " chooses no more experts a token");
  for (const auto& term : c.balance.terms)
    check(term.counts != moe::Counts::kept || !c.capacity.is_dropless(), "balance.counts", "kept",
          "a [model.capacity] that drops, or counts = \"actual\": without drops they are the same");
  check_router_options(c, router, check.where);
  check.beside_router(traits.has_matrix || !c.router_bias, "router_bias", "true", "false: " + kind + " has no logits");
  if (traits.has_matrix) return;
  const std::string need =
      "no balance and no z-loss ([model.balance] with loss = []): " + kind + " has no logits to take them from";
  for (const auto& term : c.balance.terms) check.beside_router(false, "balance.loss", term.loss.text(), need);
  check.beside_router(c.balance.z_coefficient == 0, "balance.z_coefficient", c.balance.z_coefficient, need);
}

// Sizes whose products are still counted in 64 bits, whatever is multiplied later: an upper bound in doubles.
void check_total(const ModelConfig& c, const std::string& where) {
  constexpr double kMost = 1e15;
  const auto of = [](int64_t size) { return static_cast<double>(size); };
  double attention = 0;
  const auto part = make_attention(c, 0);
  for (const auto& spec : part->parameters()) {
    double n_elements = 1;
    for (const int64_t size : spec.shape) n_elements *= of(size);
    attention += n_elements;
  }
  const double blocks = of(c.gated_form().gate_up_width(1)) + 1;  // matrices of an inner width each
  const double ffn =
      blocks * (of(c.d_ff) + of(c.n_experts) * of(c.d_expert) + of(c.d_shared) + of(c.d_extra)) + of(c.n_experts) + 1;
  const double total = of(c.d_model) * (2 * of(c.vocab_size) + of(c.n_layers) * ffn) + of(c.n_layers) * attention;
  require<ConfigError>(total < kMost, where, ": got a model of some ", three_digits(total),
                       " parameters; need fewer than ", kMost);
}

void check_rotation(const ModelConfig& c, const Attention& attention, const std::string& where,
                    const ConfigNode* table) {
  const auto rotation = attention.rotation();
  if (!rotation) return;
  check_rope_scaling(c.rope_scaling, rotation->dims / 2, Check{where, table}.place_of("rope_scaling"));
  const bool is_dynamic = std::holds_alternative<ops::DynamicScaling>(c.rope_scaling.value);
  Check{where, table}(!is_dynamic || rotation->dims > 2, "rope_scaling.kind", "'dynamic'",
                      "another: it needs more than 2 rotated features of a head");
}

void check_parts(const ModelConfig& c, const std::string& where, const ConfigNode* table) {
  const Check check{where, table};
  check_sizes(c, check);
  if (!c.attention.is_empty() && !c.attention.is_table())
    fail_kind(c.attention, "model.attention", "a table such as {kind = \"grouped\"}");
  for (int64_t layer = 0; layer < c.n_layers; ++layer)
    check_rotation(c, *make_attention(c, layer), where, table);  // makes: throws for what its kind does not know
  if (!c.router.is_empty() && !c.router.is_table())
    fail_kind(c.router, "model.router", "a table such as {kind = \"top_k\"}");
  check(c.n_experts >= 0 && c.n_experts <= 65536, "n_experts", c.n_experts, "0..65536");
  check_layers(c.moe_layers, c.n_layers, got_at(check.place_of("moe_layers"), "model.moe_layers"));
  const bool has_dense = c.has_dense();
  check(has_dense || !c.ffn_bias, "ffn_bias", "true", "false: the model has no dense layers");
  if (has_dense) check(c.d_ff >= 1, "d_ff", c.d_ff, "at least 1: the model has dense layers");
  if (c.n_experts > 0) {
    check(c.is_moe(), "moe_layers", to_json(c.moe_layers).dump(),
          "a rule that some of the " + std::to_string(c.n_layers) + " layers fulfil");
    check(c.top_k >= 1 && c.top_k <= c.n_experts, "top_k", c.top_k,
          "1.." + std::to_string(c.n_experts) + " (model.n_experts)");
    check(c.d_expert >= 1 && c.d_expert <= kMaxSize, "d_expert", c.d_expert, kSizes + " (it has no default)");
    check(c.n_shared_experts >= 0 && c.n_shared_experts <= 65536, "n_shared_experts", c.n_shared_experts, "0..65536");
    check(c.d_shared >= 0 && c.d_shared < (int64_t{1} << 48), "d_shared", c.d_shared, "at least 1");
    const char* no_shared = "nothing: the model has no shared experts (model.n_shared_experts = 0)";
    check(c.n_shared_experts > 0 || c.d_shared == 0, "d_shared", c.d_shared, no_shared);
    check(c.n_shared_experts > 0 || !c.shared_gate, "shared_gate", "true", no_shared);
    const auto router = moe::make_router(c.router_shape(), c.router);  // throws for what its kind does not know
    check_router(c, *router, check);
    moe::check_capacity(c.capacity, c.router_shape(), router->traits(), check.place_beside_router("capacity.rule"));
    return;
  }
  const char* only = "nothing: the model has no experts (model.n_experts = 0)";
  check(c.n_shared_experts == 0, "n_shared_experts", c.n_shared_experts, only);
  check(c.top_k == 0, "top_k", c.top_k, only);
  check(c.d_expert == 0, "d_expert", c.d_expert, only);
  check(c.d_shared == 0, "d_shared", c.d_shared, only);
  check(!c.shared_gate, "shared_gate", "true", only);
  check(c.d_extra == 0, "d_extra", c.d_extra, only);
  check(!c.expert_bias, "expert_bias", "true", only);
  check(!c.router_bias, "router_bias", "true", only);
  check(!c.router.is_table() || c.router.table().empty(), "router", c.router.shown(), only);
  check(c.balance.terms.empty() && c.balance.z_coefficient == 0, "balance", moe::to_json(c.balance).dump(), only);
  check(c.capacity.is_dropless(), "capacity", moe::to_json(c.capacity).dump(), only);
}

}  // namespace

void check_model_config(const ModelConfig& c, const std::string& where, const ConfigNode* table) {
  check_parts(c, where, table);
  check_total(c, where);
}

namespace {
// The tables of [model] and the key of each that says what its others mean.
constexpr std::pair<const char*, const char*> kChoosers[] = {
    {"attention", "kind"}, {"router", "kind"}, {"balance", "loss"}, {"capacity", "rule"}, {"rope_scaling", "kind"}};
// Other places for keys of [model].
struct OtherPlace {
  const char* table;
  const char* key;
  const char* flat;
};
constexpr OtherPlace kOtherPlaces[] = {{"rope", "theta", "rope_theta"},       {"rope", "fraction", "rotary_fraction"},
                                       {"rope", "pairs", "rope_pairs"},       {"rope", "scaling", "rope_scaling"},
                                       {"attention", "n_heads", "n_heads"},   {"attention", "n_kv_heads", "n_kv_heads"},
                                       {"attention", "head_dim", "head_dim"}, {"attention", "qk_norm", "qk_norm"}};
}  // namespace

ConfigNode with_flat_keys(ConfigNode model) {
  if (!model.is_table()) return model;
  if (const ConfigNode* rope = model.find("rope"); rope != nullptr && !rope->is_table())
    fail_kind(*rope, "model.rope", "a table such as {theta = 1e6}");
  for (const auto& [table, key, flat] : kOtherPlaces) {
    ConfigNode* from = model.find(table);
    const ConfigNode* node = from != nullptr && from->is_table() ? from->find(key) : nullptr;
    if (node == nullptr) continue;
    require<ConfigError>(model.find(flat) == nullptr, node->where, ": got model.", table, ".", key, " beside model.",
                         flat, "; need one of them: they are the same key");
    ConfigNode moved = *node;
    from->erase(key);
    model.set(flat, std::move(moved));
  }
  if (const ConfigNode* rope = model.find("rope")) {
    std::vector<std::string> known;
    for (const auto& place : kOtherPlaces)
      if (std::string_view(place.table) == "rope") known.emplace_back(place.key);
    for (const auto& [key, node] : rope->table()) fail_unknown_key(node.where, "model.rope", key, known);
    model.erase("rope");
  }
  return model;
}

void drop_replaced(ConfigNode& model, const ConfigNode& changes, Over over) {
  if (!model.is_table() || !changes.is_table()) return;
  for (const auto& [key, chooser] : kChoosers) {
    const ConfigNode *mine = model.find(key), *change = changes.find(key);
    if (mine == nullptr || change == nullptr || !mine->is_table() || !change->is_table()) continue;
    const ConfigNode *was = mine->find(chooser), *is = change->find(chooser);
    bool is_replaced = is != nullptr;
    if (over == Over::recipe && is != nullptr) {
      const bool is_list = is->is_list() || (was != nullptr && was->is_list());
      is_replaced = (was == nullptr || was->shown() != is->shown()) && (is_list || std::string_view(key) != "balance");
    }
    if (change->table().empty() || is_replaced) model.erase(key);
  }
}

std::string kept_balance_warning(const ConfigNode& given, const ModelConfig& config) {
  const ConfigNode *router = given.find("router"), *kind = router != nullptr ? router->find("kind") : nullptr;
  if (kind == nullptr || given.find("balance") != nullptr || !config.is_moe()) return "";
  if (moe::make_router(config.router_shape(), config.router)->traits().needs_balance) return "";
  std::string kept;
  for (const auto& term : config.balance.terms)
    add_to_list(kept, "the balance loss " + term.loss.text() + " " + format_double(term.coefficient));
  if (config.balance.z_coefficient > 0) add_to_list(kept, "the z-loss " + format_double(config.balance.z_coefficient));
  if (kept.empty()) return "";
  return kind->where + ": got model.router.kind = " + kind->shown() +
         ", which balances by itself, without model.balance beside it, so it keeps " + kept +
         " of the preset or base; need model.balance = {loss = []} there to train without, or the losses stated there "
         "to keep them";
}

ConfigNode with_preset(const ConfigNode& node, PresetTables tables) {
  const ConfigNode* preset = node.find("preset");
  if (preset == nullptr) return with_flat_keys(node);
  std::string name;
  read_value(*preset, "model.preset", name);
  ConfigNode merged = parse_toml(preset_toml(name, preset->where), "preset " + name, "");
  ConfigNode changes = with_flat_keys(node);
  changes.erase("preset");
  drop_replaced(merged, changes, Over::preset);
  if (tables == PresetTables::left_out)
    for (const char* key : {"router", "balance", "capacity"}) merged.erase(key);
  merge_config(merged, changes);
  merged.where = node.where;
  return merged;
}

ModelConfig read_model_config(const ConfigNode& node) {
  if (!node.is_table()) fail_kind(node, "model", "a table");
  ModelTable table;
  const ConfigNode merged = with_preset(node, PresetTables::taken);
  read_value(merged, "model", table);
  if (const ConfigNode* from = merged.find("from"))
    fail<ConfigError>(from->where, ": got model.from = ", from->shown(), "; need the shape of a model alone");
  if (const ConfigNode* rows = merged.find("new_embeddings"))
    fail<ConfigError>(got_at(rows->where, "model.new_embeddings"), rows->shown(),
                      "; need model.from beside it, whose vocabulary is smaller");
  ModelConfig& config = table.model;
  if (merged.find("n_experts") != nullptr && config.n_experts == 0) {  // said: the dense twin of an MoE model
    config.n_shared_experts = config.top_k = config.d_expert = config.d_shared = 0;
    config.shared_gate = false;
    config.router = {};
    config.balance = {};
    config.capacity = {};
  }
  fill_defaults(config);
  const ConfigNode given = with_flat_keys(node);
  check_model_config(config, node.where, &given);
  return config;
}

void check_router_state(const ModelConfig& config, const ModelConfig& source, const std::string& folder) {
  if (!config.is_moe() || !source.is_moe()) return;
  const auto router = moe::make_router(config.router_shape(), config.router);
  const char* key = router->traits().state_option;
  const Json given = router->options(), loaded = moe::make_router(source.router_shape(), source.router)->options();
  if (key == nullptr || given.at("kind") != loaded.at("kind")) return;
  const ConfigNode* node = config.router.find(key);
  require<ConfigError>(given.at(key) == loaded.at(key),
                       got_at(node != nullptr ? node->where : "model.router", std::string("model.router.") + key),
                       given.at(key).dump(), "; need ", loaded.at(key).dump(), ", which the router's state in ", folder,
                       " was made for");
}

Json model_config_json(const ModelConfig& config) {
  Json out = evenkeel::to_json(config);
  out["attention"] = make_attention(config, 0)->options();
  out["router"] =
      config.n_experts > 0 ? moe::make_router(config.router_shape(), config.router)->options() : Json::object();
  return out;
}

ModelConfig model_config_from_json(const Json& json, const std::string& where) {
  return read_model_config(config_from_json(json, where));
}

}  // namespace evenkeel::model
