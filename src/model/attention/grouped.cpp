// Multi-head attention whose heads may share keys and values in groups (arXiv 2305.13245), rotated, with RMSNorm of
// queries and keys where [model] asks for it.
#include <algorithm>

#include <ATen/ops/linear.h>

#include "core/got_at.h"
#include "model/attention/attention.h"
#include "ops/attention.h"
#include "ops/norm.h"

namespace evenkeel::model {
namespace {

// Its widths stand in [model] itself: n_heads, n_kv_heads, head_dim.
struct GroupedOptions {
  bool qkv_bias = false, out_bias = false;
  double clip = 0, scale = 0;
  int64_t window = 0;
  LayerSet window_layers;
  bool sinks = false;
  static void visit_fields(auto& options, auto&& field) {
    field("qkv_bias", options.qkv_bias, "queries, keys and values have biases");
    field("out_bias", options.out_bias, "the output projection has a bias");
    field("clip", options.clip,
          {"queries, keys and values are clamped to this size, after their norm", "", "0: not clamped"});
    field("scale", options.scale, {"factor on the scores", "", "0: 1 / sqrt(head_dim)"});
    field("window", options.window, {"a position sees the last so many, its own among them; 0 = all", "tokens"});
    field("window_layers", options.window_layers,
          {"layers that have the window: \"all\", \"every 2\" (layers i with (i + 1) % 2 = 0) or a list", "layers"});
    field("sinks", options.sinks, "each head has a learned logit without a value beside the scores (gpt-oss)");
  }
};

class GroupedAttention : public Attention {
 public:
  GroupedAttention(const ModelConfig& config, const GroupedOptions& options, int64_t layer)
      : width_(config.d_model),
        head_dim_(config.head_dim),
        q_width_(config.n_heads * config.head_dim),
        kv_width_(config.n_kv_heads * config.head_dim),
        qk_norm_(config.qk_norm),
        norm_eps_(config.norm_eps),
        options_(options),
        sight_{options.window_layers.contains(layer) ? options.window : 0},
        rotation_(config.rotation(config.head_dim)) {
    const ops::Packing packing{false, {{"q", q_width_}, {"k", kv_width_}, {"v", kv_width_}}};
    const int64_t width_of_all = q_width_ + 2 * kv_width_;
    qkv_ = add({"attention.qkv.weight", {width_of_all, width_}, Role::attention_in, 1, packing});
    if (options_.qkv_bias) qkv_bias_ = add({"attention.qkv.bias", {width_of_all}, Role::bias, 1, packing});
    if (qk_norm_ != QkNorm::none) {
      const bool per_head = qk_norm_ == QkNorm::per_head;
      q_norm_ = add("attention.q_norm.weight", {per_head ? head_dim_ : q_width_}, Role::norm);
      k_norm_ = add("attention.k_norm.weight", {per_head ? head_dim_ : kv_width_}, Role::norm);
    }
    if (options_.sinks) sinks_ = add("attention.sinks", {config.n_heads}, Role::bias);
    out_ = add("attention.out.weight", {width_, q_width_}, Role::attention_out);
    if (options_.out_bias) out_bias_ = add("attention.out.bias", {width_}, Role::bias);
  }

  at::Tensor forward(PartTensors params, const at::Tensor& x, const Pass& pass) const override {
    const int64_t batch = x.size(0), length = x.size(1);
    const auto qkv = at::linear(x, params[qkv_], optional_tensor(params, options_.qkv_bias, qkv_bias_));
    auto query = qkv.narrow(2, 0, q_width_), key = qkv.narrow(2, q_width_, kv_width_),
         value = qkv.narrow(2, q_width_ + kv_width_, kv_width_);
    const auto by_head = [&](const at::Tensor& part) { return part.reshape({batch, length, -1, head_dim_}); };
    if (qk_norm_ == QkNorm::whole) {
      query = ops::rms_norm(query, params[q_norm_], norm_eps_);
      key = ops::rms_norm(key, params[k_norm_], norm_eps_);
    }
    query = by_head(query);
    key = by_head(key);
    if (qk_norm_ == QkNorm::per_head) {
      query = ops::rms_norm(query, params[q_norm_], norm_eps_);
      key = ops::rms_norm(key, params[k_norm_], norm_eps_);
    }
    if (options_.clip > 0)
      for (at::Tensor* part : {&query, &key, &value}) *part = part->clamp(-options_.clip, options_.clip);
    const auto& rotary = pass.rotary(rotation_);
    ops::AttentionForm form{pass.mask(sight_), options_.scale, {}};
    if (options_.sinks) form.sinks = params[sinks_];
    const auto out =
        ops::causal_attention(ops::apply_rotary(query, rotary), ops::apply_rotary(key, rotary), by_head(value), form);
    return at::linear(out, params[out_], optional_tensor(params, options_.out_bias, out_bias_));
  }

  std::optional<ops::Rotation> rotation() const override { return rotation_; }
  std::optional<ops::Sight> sight() const override { return sight_; }
  int64_t cache_floats(int64_t n_tokens) const override {
    return 2 * kv_width_ * (sight_.window > 0 ? std::min(n_tokens, sight_.window) : n_tokens);
  }
  Json options() const override { return evenkeel::to_json(WithKind{"grouped", options_}); }

  // What ops/attention.h, ops/norm.h and autograd keep: queries and keys with their rotation, values (within their
  // projection), the output, and a number a head.
  ActivationFloats activations() const override {
    const auto H = static_cast<double>(width_), q = static_cast<double>(q_width_), kv = static_cast<double>(kv_width_);
    const double projection = q + 2 * kv;
    const bool repeats =
        q_width_ != kv_width_;  // keys and values are copied for each head; the projection is then let go
    ActivationFloats out;
    out.kept = 2 * q + (repeats ? 2 * q : projection + kv) + q / static_cast<double>(head_dim_);
    if (qk_norm_ != QkNorm::none) out.kept += q + kv;
    if (options_.clip > 0) out.kept += projection;
    // Gradients of output, queries, keys and values, and of the parts of the projection, each as wide as all of it.
    out.backward = 2 * H + q + 3 * projection;
    out.forward = 2 * H + 2 * q + 2 * projection;
    return out;
  }

 private:
  // Scores and their use: two products with all heads of the positions that one sees on average, S / 2 as causal
  // attention counts them, fewer in a window.
  double other_flops_per_token(int64_t sequence_length) const override {
    return 4.0 * ops::mean_seen(sight_, sequence_length) * static_cast<double>(q_width_);
  }

  int64_t width_, head_dim_, q_width_, kv_width_;
  QkNorm qk_norm_;
  double norm_eps_;
  GroupedOptions options_;
  ops::Sight sight_;
  ops::Rotation rotation_;
  size_t qkv_ = 0, qkv_bias_ = 0, q_norm_ = 0, k_norm_ = 0, sinks_ = 0, out_ = 0, out_bias_ = 0;
};

std::unique_ptr<Attention> make(const AttentionPlace& place, GroupedOptions options, const ConfigNode& config) {
  const auto check = [&](bool holds, const char* key, const auto& value, const std::string& need) {
    require<ConfigError>(holds, got_at(place_of(config, key), join_path(kAttentionTable.path, key)), value, "; need ",
                         need);
  };
  check(options.clip >= 0 && std::isfinite(options.clip), "clip", options.clip, "0 (not clamped) or more");
  check(options.scale >= 0 && std::isfinite(options.scale), "scale", options.scale, "0 (1 / sqrt(head_dim)) or more");
  check(options.window >= 0, "window", options.window, "0 (all positions) or more");
  check(options.window > 0 || options.window_layers == LayerSet{}, "window_layers",
        to_json(options.window_layers).dump(), "a window beside it");
  bool has_layer = options.window == 0;
  for (int64_t layer = 0; layer < place.config.n_layers; ++layer)
    has_layer = has_layer || options.window_layers.contains(layer);
  check_layers(options.window_layers, place.config.n_layers,
               got_at(place_of(config, "window_layers"), join_path(kAttentionTable.path, "window_layers")));
  check(has_layer, "window_layers", to_json(options.window_layers).dump(),
        "a rule that some of the " + std::to_string(place.config.n_layers) + " layers fulfil");
  return std::make_unique<GroupedAttention>(place.config, options, place.layer);
}

}  // namespace

AttentionFactory grouped_attention() { return kind_factory(kAttentionTable, make); }

}  // namespace evenkeel::model
