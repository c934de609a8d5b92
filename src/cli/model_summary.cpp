#include "cli/model_summary.h"

#include "core/counted.h"
#include "core/units.h"
#include "core/with_error.h"
#include "model/attention/attention.h"
#include "model/layout.h"

namespace evenkeel::cli {
namespace {

// "kind: key value, key value" of the options that are not as they would be without a word.
std::string unlike_defaults(const Json& options, const Json& defaults) {
  std::string out;
  for (const auto& [key, value] : options.as_object()) {
    const Json* usual = defaults.find(key);
    if (key != "kind" && (usual == nullptr || *usual != value))
      add_to_list(out, key + " " + (value.is_string() ? value.as_string() : value.dump()));
  }
  return options.at("kind").as_string() + (out.empty() ? "" : ": " + out);
}

Json default_router(const model::ModelConfig& config, const std::string& kind) {
  return moe::make_router(config.router_shape(), config_from_json(Json::Object{{"kind", kind}}, "defaults"))->options();
}

std::string attention_line(const model::ModelConfig& config) {
  const Json options = model::make_attention(config, 0)->options();
  std::string out =
      join_parts("attention: ", options.at("kind").as_string(), ", ", config.n_heads, " heads of ", config.head_dim);
  if (options.at("kind") == Json("latent")) {
    out += join_parts(", latent vectors of ", options.at("kv_rank").as_int());
    if (options.at("q_rank") != Json(0)) out += join_parts(" and, of queries, ", options.at("q_rank").as_int());
    out += join_parts(", ", options.at("rope_dim").as_int(), " features rotated, values of ",
                      options.at("value_dim").as_int());
    return out;
  }
  if (config.n_kv_heads != config.n_heads) out += join_parts(", ", config.n_kv_heads, " of keys and values");
  if (config.qk_norm != model::QkNorm::none)
    out += config.qk_norm == model::QkNorm::per_head ? ", queries and keys normalised by head"
                                                     : ", queries and keys normalised whole";
  model::ModelConfig plain = config;
  plain.attention = {};
  const Json defaults = model::make_attention(plain, 0)->options();
  for (const auto& [key, value] : options.as_object())
    if (value != defaults.at(key)) out += ", " + key + " " + value.dump();
  return out;
}

std::string rotation_line(const model::ModelConfig& config) {
  const auto rotation = model::make_attention(config, 0)->rotation();
  if (!rotation || rotation->dims == 0) return "rotation: none";
  std::string out = join_parts("rotation: ", rotation->dims, " features of a head, theta ", config.rope_theta);
  if (config.rope_pairs == ops::RotaryPairs::interleaved) out += ", interleaved pairs";
  const Json scaling = to_json(config.rope_scaling);
  if (scaling.at("kind") == Json("none")) return out;
  out += ", " + scaling.at("kind").as_string();
  if (const Json* factor = scaling.find("factor")) out += " by " + factor->dump();
  return out;
}

std::vector<std::string> expert_lines(const model::ModelConfig& config) {
  const auto n_layers = static_cast<int64_t>(config.moe_layers_below(config.n_layers));
  std::string experts = join_parts("experts: ", config.n_experts, " of width ", config.d_expert, ", ", config.top_k,
                                   " a token, in ", n_layers, " of ", counted(config.n_layers, "layer"));
  if (config.shared_width() > 0)
    experts += join_parts("; shared ones of width ", config.shared_width(), config.shared_gate ? " behind a gate" : "");
  if (n_layers < config.n_layers) experts += join_parts("; dense layers of width ", config.d_ff);
  const Json options = moe::make_router(config.router_shape(), config.router)->options();
  std::string balance;
  for (const auto& term : config.balance.terms)
    add_to_list(balance, term.loss.text() + " " + format_double(term.coefficient));
  if (config.balance.z_coefficient > 0) add_to_list(balance, "z " + format_double(config.balance.z_coefficient));
  return {experts, "router: " + unlike_defaults(options, default_router(config, options.at("kind").as_string())) +
                       "; balance losses: " + (balance.empty() ? "none" : balance)};
}

std::string unusual(const model::ModelConfig& config) {
  std::string out;
  const Json options = model::make_attention(config, 0)->options();
  if (config.norm_placement == model::NormPlacement::after) add_to_list(out, "norms behind the branches");
  if (config.activation != ops::Activation::swiglu) add_to_list(out, name_of(config.activation));
  for (const auto& [name, value] : {std::pair("embeddings times ", config.embedding_multiplier),
                                    {"branches times ", config.residual_multiplier},
                                    {"logits divided by ", config.logits_scaling}})
    if (value != 1) add_to_list(out, name + format_double(value));
  for (const char* key : {"clip", "scale", "window", "sinks"})
    if (const Json* value = options.find(key);
        value != nullptr && *value != Json(0.0) && *value != Json(0) && *value != Json(false))
      add_to_list(out, std::string("attention's ") + key);
  if (config.ffn_bias) add_to_list(out, "biases of feed-forward networks");
  if (config.expert_bias) add_to_list(out, "biases of experts");
  if (config.router_bias) add_to_list(out, "a bias of the router");
  if (config.d_extra > 0)
    add_to_list(out, "a feed-forward network of " + std::to_string(config.d_extra) + " behind the experts");
  if (config.shared_gate) add_to_list(out, "a gate of the shared experts");
  if (!config.capacity.is_dropless()) add_to_list(out, "drops at capacity (" + config.capacity.rule + ")");
  return out;
}

}  // namespace

std::vector<std::string> architecture_lines(const model::ModelConfig& config) {
  std::vector<std::string> out = {
      join_parts(config.is_moe() ? "mixture of experts: " : "dense: ", counted(config.n_layers, "layer"), " of width ",
                 config.d_model, ", vocabulary ", config.vocab_size, config.tie_embeddings ? ", tied head" : ""),
      attention_line(config), rotation_line(config)};
  if (config.is_moe()) {
    for (auto& line : expert_lines(config)) out.push_back(std::move(line));
  } else {
    out.push_back(join_parts("feed-forward networks of width ", config.d_ff));
  }
  if (const std::string what = unusual(config); !what.empty()) out.push_back("unusual: " + what);
  return out;
}

Json parameters_json(const model::ModelConfig& config) {
  const auto counts = model::count_parameters(config);
  return Json::Object{{"total", counts.total},
                      {"active", counts.active},
                      {"total_without_embeddings", counts.total_without_embeddings},
                      {"active_without_embeddings", counts.active_without_embeddings}};
}

Json flops_json(const model::ModelConfig& config, int64_t sequence_length) {
  return Json::Object{{"forward", model::forward_flops_per_token(config, sequence_length)},
                      {"training", model::training_flops_per_token(config, sequence_length)}};
}

std::string parameters_line(const Json& parameters) {
  const auto count = [&](const char* key) { return human_count(parameters.at(key).as_double()); };
  return join_parts("parameters   ", count("total"), " in all, ", count("active"),
                    " active a token; without embeddings ", count("total_without_embeddings"), " and ",
                    count("active_without_embeddings"));
}

Json model_costs(const checkpoint::ModelSource& source) {
  const auto& config = source.config;
  constexpr double kFloat = 4, kHalf = 2, kOfTraining = 4 * kFloat;  // weights, gradients, two moments
  Json out = Json::object();
  out["sequence_length"] = source.sequence_length;
  out["parameters"] = parameters_json(config);
  out["flops_per_token"] = flops_json(config, source.sequence_length);
  const double total = out.at("parameters").at("total").as_double();
  out["memory"] =
      Json::Object{{"weights_fp32_bytes", kFloat * total},
                   {"weights_bf16_bytes", kHalf * total},
                   {"training_bytes", kOfTraining * total},
                   {"cache_bytes", kFloat * static_cast<double>(model::cache_floats(config, source.sequence_length))}};
  return out;
}

std::vector<std::string> cost_lines(const Json& costs) {
  const auto count = [&](const char* table, const char* key) {
    return human_count(costs.at(table).at(key).as_double());
  };
  const auto bytes = [&](const char* key) { return human_bytes(costs.at("memory").at(key).as_double()); };
  return {parameters_line(costs.at("parameters")),
          join_parts("FLOPs        ", count("flops_per_token", "forward"), " a token forward, ",
                     count("flops_per_token", "training"), " in training, at ", costs.at("sequence_length").as_int(),
                     " tokens"),
          join_parts("memory       ", bytes("weights_fp32_bytes"), " of weights in fp32, ", bytes("weights_bf16_bytes"),
                     " in bf16; ", bytes("training_bytes"), " to train with AdamW, without activations; ",
                     bytes("cache_bytes"), " of cache for a sequence")};
}

}  // namespace evenkeel::cli
