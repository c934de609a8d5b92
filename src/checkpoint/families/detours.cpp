#include "checkpoint/families/detours.h"

#include <cmath>

#include "core/errors.h"
#include "model/attention/attention.h"

namespace evenkeel::checkpoint {
namespace {

bool is_grouped(const model::ModelConfig& config) {
  return model::make_attention(config, 0)->options().at("kind") == Json("grouped");
}

int64_t rotated_features(const model::ModelConfig& config) { return config.rotation(config.head_dim).dims; }

// Rows of queries and keys, and what else goes by the features of a head.
bool goes_by_feature(const std::string& tensor, const Piece& piece) {
  return piece.rows == Rows::queries || piece.rows == Rows::keys || tensor == "layers.{i}.attention.q_norm.weight" ||
         tensor == "layers.{i}.attention.k_norm.weight";
}

void reorder(Piece& piece, const std::vector<int64_t>& order) {
  if (piece.order.empty()) {
    piece.order = order;
    return;
  }
  std::vector<int64_t> out;
  for (const int64_t row : order) out.push_back(piece.order[static_cast<size_t>(row)]);
  piece.order = std::move(out);
}

// ---- pairs 2j, 2j + 1 -> j, j + d/2 ----

bool apply_halves(model::ModelConfig& config) {
  if (config.rope_pairs == ops::RotaryPairs::halves || !is_grouped(config)) return false;
  config.rope_pairs = ops::RotaryPairs::halves;
  return true;
}

void change_halves(const model::ModelConfig& before, const std::string& tensor, Piece& piece) {
  if (!goes_by_feature(tensor, piece)) return;
  const int64_t rotated = rotated_features(before);
  std::vector<int64_t> order;
  for (int64_t row = 0; row < rotated; ++row)
    order.push_back(row < rotated / 2 ? 2 * row : 2 * (row - rotated / 2) + 1);
  for (int64_t row = rotated; row < before.head_dim; ++row) order.push_back(row);
  reorder(piece, order);
}

// ---- a share of a head that is rotated -> all of it, with divisors that leave the others where they are ----

bool apply_longrope(model::ModelConfig& config) {
  constexpr double kStill = 1e30;  // turns by no angle that a float can tell from 0
  const int64_t rotated = rotated_features(config), all = config.head_dim;
  const bool is_scaled = !std::holds_alternative<ops::NoScaling>(config.rope_scaling.value);
  if (rotated == all || is_scaled || all % 2 != 0 || config.rope_pairs != ops::RotaryPairs::halves ||
      !is_grouped(config))
    return false;
  ops::LongropeScaling scaling;
  for (int64_t pair = 0; pair < all / 2; ++pair) {
    const double exponent = 2.0 * static_cast<double>(pair) *
                            (1 / static_cast<double>(std::max<int64_t>(rotated, 1)) - 1 / static_cast<double>(all));
    scaling.short_factor.push_back(pair < rotated / 2 ? std::pow(config.rope_theta, exponent) : kStill);
  }
  scaling.long_factor = scaling.short_factor;
  scaling.factor = 1;
  scaling.attention_factor = 1;
  scaling.original_length = 0;  // the longest sequence: filled in with it
  config.rotary_fraction = 1;
  config.rope_scaling.value = scaling;
  return true;
}

void change_longrope(const model::ModelConfig& before, const std::string& tensor, Piece& piece) {
  if (!goes_by_feature(tensor, piece)) return;
  const int64_t half = before.head_dim / 2, turning = rotated_features(before) / 2;
  std::vector<int64_t> order;
  for (const int64_t side : {0, 1})
    for (int64_t row = 0; row < half; ++row)
      order.push_back(row < turning ? side * turning + row : 2 * turning + side * (half - turning) + (row - turning));
  reorder(piece, order);
}

// ---- a scale of the scores -> into the queries ----

// What the queries are multiplied by in place of the scale; 0 where that is not exact.
double factor_of_scale(const model::ModelConfig& config) {
  const Json options = model::make_attention(config, 0)->options();
  const double scale = options.at("scale").as_double(), clip = options.at("clip").as_double();
  const double factor = scale * std::sqrt(static_cast<double>(config.head_dim));
  int exponent = 0;
  const bool is_power_of_2 = factor > 0 && std::frexp(factor, &exponent) == 0.5;
  return is_power_of_2 && clip == 0 ? factor : 0;
}

bool apply_scale(model::ModelConfig& config) {
  if (!is_grouped(config)) return false;
  const double factor = factor_of_scale(config);
  if (factor == 0 || factor == 1) return false;
  if (!config.attention.is_table()) config.attention = config_table("");
  config.attention.set("scale", {0.0, "", ""});
  return true;
}

void change_scale(const model::ModelConfig& before, const std::string& tensor, Piece& piece) {
  const bool has_norm = before.qk_norm != model::QkNorm::none;
  const bool is_norm = tensor == "layers.{i}.attention.q_norm.weight";
  if (has_norm ? is_norm : piece.rows == Rows::queries) piece.factor *= factor_of_scale(before);
}

// ---- shared experts ----

bool apply_shared_gate(model::ModelConfig& config) {
  if (config.shared_width() == 0 || config.shared_gate) return false;
  config.shared_gate = true;
  return true;
}

void change_shared_gate(const model::ModelConfig&, const std::string& tensor, Piece& piece) {
  if (tensor == "layers.{i}.shared.down.weight") piece.factor *= 2;
}

bool apply_no_shared(model::ModelConfig& config) {
  if (config.shared_width() > 0 || !config.is_moe()) return false;
  config.n_shared_experts = 1;
  config.d_shared = 1;
  config.shared_gate = true;
  return true;
}

// ---- routers ----

bool apply_zero_bias(model::ModelConfig& config) {
  if (!config.is_moe()) return false;
  Json router = moe::make_router(config.router_shape(), config.router)->options();
  if (router.at("kind") != Json("top_k") || router.at("score") != Json("sigmoid") || config.n_experts < 2) return false;
  Json out = Json::Object{{"kind", "loss_free"}, {"score", "sigmoid"}};
  for (const char* key : {"renormalize", "renormalize_one", "scaling", "n_groups", "groups_per_token"})
    out[key] = router.at(key);
  if (router.at("n_groups") != Json(1)) {
    out["group_score"] = router.at("group_score");
    out["group_mask"] = router.at("group_mask");
  }
  config.router = config_from_json(out, "");
  return true;
}

}  // namespace

const std::vector<Detour>& detours() {
  static const std::vector<Detour> list = {
      {"halves",
       "rotated pairs 2j, 2j + 1 of each head become j, j + d/2: rows of queries and keys change their places",
       apply_halves, change_halves},
      {"longrope",
       "a rotation of a share of each head becomes one of all of it, by the type longrope whose divisors leave the "
       "other "
       "features where they are; rows of queries and keys change their places",
       apply_longrope, change_longrope},
      {"scale", "the scale of the scores goes into the queries, by a power of 2", apply_scale, change_scale},
      {"shared_gate",
       "the shared experts get a gate of zeros, which halves what they give, and their output projection is doubled",
       apply_shared_gate, change_shared_gate},
      {"no_shared", "a shared expert of width 1 made of zeros is added, since the class must have one",
       apply_no_shared},
      {"zero_bias", "a bias of zeros is added to the scores that select, since the class must have one",
       apply_zero_bias},
  };
  return list;
}

const Detour& detour_named(const std::string& name, const std::string& where) {
  for (const auto& detour : detours())
    if (name == detour.name) return detour;
  fail<CheckpointError>(where, ": detours: got \"", name, "\"; need those that this version knows");
}

}  // namespace evenkeel::checkpoint
