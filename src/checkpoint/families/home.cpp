#include "checkpoint/families/home.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"
#include "model/attention/attention.h"

namespace evenkeel::checkpoint {

ReadConfig read_with(const Family& family, const HfConfig& config) {
  HfForm form;
  form.attention["kind"] = "grouped";
  HfKeys keys(config, form);
  family.keys(keys);
  config.require_all_known();
  ReadConfig out{&family, config_of(form, config.where()), form.max_sequence_length, std::move(form.notices)};
  try {
    model::check_model_config(out.model, config.where());
  } catch (const ConfigError& error) {
    throw CheckpointError(error.what());
  }
  return out;
}

namespace {

// The router of an evaluation, as one of the kinds top_k and loss_free.
Json evaluated_router(const model::ModelConfig& config, const std::string& where) {
  const Json options = moe::make_router(config.router_shape(), config.router)->options();
  const std::string kind = options.at("kind").as_string();
  const auto require_no = [&](const char* key, const Json& value) {
    const Json* found = options.find(key);
    require<CheckpointError>(found == nullptr || *found == value, where, ": got model.router.", key, " = ",
                             found != nullptr ? found->dump() : "", "; need ", value.dump(),
                             ": no Hugging Face class has it");
  };
  require_no("at_eval", false);
  require_no("jitter_at_eval", false);
  require_no("norm_p", 1.0);
  Json out = Json::object();
  if (kind == "sinkhorn") {  // plain top-k of the logits
    out["kind"] = "top_k";
    out["score"] = config.top_k == 1 ? "sigmoid" : "softmax_pre";
    out["renormalize"] = options.at("renormalize");
    return out;
  }
  require<CheckpointError>(kind == "top_k" || kind == "loss_free", where, ": got model.router.kind = '", kind,
                           "'; need top_k, loss_free or sinkhorn: no Hugging Face class routes so at evaluation");
  for (const char* key : {"kind", "score", "renormalize", "renormalize_one", "scaling"}) out[key] = options.at(key);
  if (options.at("n_groups") == Json(1)) return out;
  for (const char* key : {"n_groups", "groups_per_token", "group_score", "group_mask"}) out[key] = options.at(key);
  return out;
}

}  // namespace

model::ModelConfig as_evaluated(const model::ModelConfig& config, const std::string& where) {
  model::ModelConfig out = config;
  const bool is_known = config.capacity.is_dropless() || config.capacity.rule == "colossalai";
  require<CheckpointError>(is_known, where, ": got model.capacity.rule = '", config.capacity.rule,
                           "'; need none, or colossalai for OpenMoE's own class: no other Hugging Face class drops "
                           "assignments at evaluation");
  if (!config.is_moe()) return out;
  out.router = config_from_json(evaluated_router(config, where), where);
  return out;
}

namespace {

Json attention_form(const model::ModelConfig& config) {
  Json out = model::make_attention(config, 0)->options();
  if (out.at("kind") != Json("grouped")) return out;
  if (out.at("scale") == Json(0.0)) out["scale"] = 1 / std::sqrt(static_cast<double>(config.head_dim));
  std::vector<int64_t> windowed;
  model::LayerSet layers;
  read_value(config_from_json(out.at("window_layers"), ""), "", layers);
  for (int64_t layer = 0; layer < config.n_layers; ++layer)
    if (out.at("window").as_int() > 0 && layers.contains(layer)) windowed.push_back(layer);
  if (windowed.empty()) out["window"] = int64_t{0};
  out["window_layers"] = windowed;
  return out;
}

Json router_form(const model::ModelConfig& config) {
  const Json options = moe::make_router(config.router_shape(), config.router)->options();
  const bool is_post = options.at("score") == Json("softmax_post");  // softmax over all experts, renormalised
  const bool has_groups = options.at("n_groups") != Json(1);
  Json out = Json::object();
  out["score"] = is_post ? Json("softmax_pre") : options.at("score");
  out["renormalize"] = divides_by_the_sum(options, config.top_k);
  out["scaling"] = options.at("scaling");
  out["selection_bias"] = options.at("kind") == Json("loss_free");
  out["n_groups"] = options.at("n_groups");
  out["groups_per_token"] = has_groups ? options.at("groups_per_token") : Json(1);
  out["group_score"] = has_groups ? options.at("group_score") : Json("max");
  // Scores above 0 are never chosen after one that is masked by 0.
  const bool masks_alike = !has_groups || options.at("kind") == Json("top_k");
  out["group_mask"] = masks_alike ? Json("zero") : options.at("group_mask");
  return out;
}

}  // namespace

Json runtime_form(const model::ModelConfig& config) {
  Json out = to_json(config);
  for (const char* key : {"init", "balance", "router", "attention", "rotary_fraction", "n_shared_experts"})
    out.erase(key);
  const auto moe_layers = layers_with_experts(config);
  const bool is_moe = !moe_layers.empty();
  const bool has_dense = static_cast<int64_t>(moe_layers.size()) < config.n_layers;
  out["moe_layers"] = moe_layers;
  if (!has_dense) {
    out.erase("d_ff");
    out.erase("ffn_bias");
  }
  if (!is_moe)
    for (const char* key : {"n_experts", "top_k", "d_expert", "d_extra", "capacity"}) out.erase(key);
  out["d_shared"] = is_moe ? config.shared_width() : 0;
  if (is_moe) out["capacity"].erase("factor_train");
  out["attention"] = attention_form(config);
  if (is_moe) out["router"] = router_form(config);
  const auto rotation = model::make_attention(config, 0)->rotation();
  out["rotated_features"] = rotation ? rotation->dims : 0;
  if (!rotation || rotation->dims == 0)
    for (const char* key : {"rope_pairs", "rope_theta", "rope_scaling"}) out.erase(key);
  return out;
}

std::vector<std::string> runtime_differences(const Json& wanted, const Json& got) {
  std::vector<std::string> out;
  for (const auto& [key, value] : wanted.as_object()) {
    const Json* other = got.find(key);
    if (other != nullptr && is_same_setting(*other, value)) continue;
    if (!value.is_object() || other == nullptr) {
      out.push_back("model." + key + " = " + value.dump());
      continue;
    }
    for (const auto& [inner, inner_value] : value.as_object()) {
      const Json* inner_other = other->find(inner);
      if (inner_other == nullptr || !is_same_setting(*inner_other, inner_value))
        out.push_back("model." + key + "." + inner + " = " + inner_value.dump());
    }
    if (out.empty()) out.push_back("model." + key + " = " + value.dump());
  }
  return out;
}

namespace {

void fill_longrope(model::ModelConfig& config, int64_t max_sequence_length) {
  if (auto* scaling = std::get_if<ops::LongropeScaling>(&config.rope_scaling.value);
      scaling != nullptr && scaling->original_length == 0)
    scaling->original_length = std::max<int64_t>(max_sequence_length, 2);
}

// A model written by a family, and what is lost; everything where the family cannot even begin.
struct Attempt {
  Home home;
  std::vector<std::string> lost;
};

// `home` but for its config.
Attempt attempt(Home home, int64_t max_sequence_length, const std::string& where) {
  const Family& family = *home.family;
  Attempt out;
  try {
    HfForm form = form_of(home.foreign, max_sequence_length);
    Json config =
        Json::Object{{"architectures", Json::Array{family.architecture}},
                     {"model_type", family.written_type != nullptr ? family.written_type : family.model_type}};
    HfKeys keys(config, form);
    family.keys(keys);
    home.max_sequence_length = form.max_sequence_length;
    const auto back = read_with(family, HfConfig(config, where + ": as " + family.model_type));
    out.lost = runtime_differences(runtime_form(home.foreign), runtime_form(back.model));
    home.config = std::move(config);
    const auto score_of = [](const model::ModelConfig& model) {
      return model.is_moe() ? moe::make_router(model.router_shape(), model.router)->options().at("score") : Json();
    };
    if (out.lost.empty() && score_of(home.foreign) != score_of(back.model))
      home.notices = {
          "the softmax over the selected logits is one over all logits divided by the sum of the selected, "
          "or the other way round: equal up to rounding"};
  } catch (const Error& error) {  // of another shape than the family's
    out.lost = {error.what()};
  }
  out.home = std::move(home);
  return out;
}

// The model after these detours; nothing where one of them has nothing to do.
std::optional<Home> detoured(const model::ModelConfig& evaluated, const std::vector<const Detour*>& list,
                             int64_t max_sequence_length) {
  Home out;
  out.foreign = evaluated;
  for (const Detour* detour : list) {
    out.before.push_back(out.foreign);
    if (!detour->apply(out.foreign)) return std::nullopt;
    fill_longrope(out.foreign, max_sequence_length);
    out.detours.emplace_back(detour->name);
  }
  return out;
}

// All choices of detours that have something to do, the shorter first.
std::vector<Home> choices_of(const model::ModelConfig& evaluated, int64_t max_sequence_length) {
  std::vector<Home> out;
  for (uint32_t chosen = 0; chosen < (uint32_t{1} << detours().size()); ++chosen) {
    std::vector<const Detour*> list;
    for (size_t i = 0; i < detours().size(); ++i)
      if ((chosen >> i) & 1) list.push_back(&detours()[i]);
    if (auto home = detoured(evaluated, list, max_sequence_length)) out.push_back(std::move(*home));
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Home& left, const Home& right) { return left.detours.size() < right.detours.size(); });
  return out;
}

}  // namespace

Home home_with(const model::ModelConfig& evaluated, const Family& family, const std::vector<std::string>& detour_names,
               int64_t max_sequence_length, const std::string& where) {
  std::vector<const Detour*> list;
  for (const auto& name : detour_names) list.push_back(&detour_named(name, where));
  auto home = detoured(evaluated, list, max_sequence_length);
  require<CheckpointError>(home.has_value(), where, ": got detours that this model has no use for");
  home->family = &family;
  auto out = attempt(std::move(*home), max_sequence_length, where);
  require<CheckpointError>(out.lost.empty(), where, ": got ", out.lost.empty() ? "" : out.lost[0],
                           ", which the family ", family.model_type, " cannot say");
  return std::move(out.home);
}

Home find_home(const model::ModelConfig& evaluated, const std::string& preferred, int64_t max_sequence_length,
               const std::string& where) {
  const auto choices = choices_of(evaluated, max_sequence_length);
  std::vector<std::string> least;
  const Family* nearest = nullptr;
  for (const bool is_preferred : {true, false}) {
    for (const auto& choice : choices)
      for (const auto& family : families()) {
        if ((family.model_type == preferred) != is_preferred || (family.is_remote && !is_preferred)) continue;
        Home home = choice;
        home.family = &family;
        auto tried = attempt(std::move(home), max_sequence_length, where);
        if (tried.lost.empty()) return std::move(tried.home);
        const bool is_shape = !tried.lost[0].starts_with("model.");
        if (nearest != nullptr && is_shape) continue;
        if (nearest != nullptr && least[0].starts_with("model.") && tried.lost.size() >= least.size()) continue;
        least = tried.lost;
        nearest = &family;
      }
  }
  std::string features;
  for (const auto& feature : least) add_to_list(features, feature);
  fail<CheckpointError>(where, ": got ", features, ", which no Hugging Face class can express together with the rest (",
                        nearest->model_type, " comes nearest); need a model without it");
}

std::vector<std::vector<Piece>> layouts_of(const Home& home, const OwnTensor& tensor, bool is_own) {
  auto out = layouts_of(*home.family, home.foreign, tensor);
  const std::string pattern = split_layer(tensor.name).first;
  for (auto& layout : out)
    for (auto& piece : layout) {
      piece.is_zero = !is_own;
      for (size_t i = 0; i < home.detours.size(); ++i) {
        const Detour& detour = detour_named(home.detours[i], "");
        if (detour.change != nullptr) detour.change(home.before[i], pattern, piece);
      }
    }
  return out;
}

}  // namespace evenkeel::checkpoint
