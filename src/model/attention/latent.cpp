// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): keys and values come from one narrow latent
// vector a token, queries from another where q_rank > 0. A part of each head is rotated; the keys share theirs.
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>

#include "core/got_at.h"
#include "model/attention/attention.h"
#include "ops/attention.h"
#include "ops/norm.h"

namespace evenkeel::model {
namespace {

// [model] head_dim is the width of a query and of a key: the part without rotation, then rope_dim.
struct LatentOptions {
  int64_t kv_rank = 0, q_rank = 0, rope_dim = 0, value_dim = 0;
  bool bias = false;
  double scale = 0;
  double norm_eps = 1e-6;
  static void visit_fields(auto& options, auto&& field) {
    field("kv_rank", options.kv_rank, {"width of the latent vector of keys and values", "features", kRequired});
    field("q_rank", options.q_rank, {"width of the latent vector of queries; 0: they have none", "features"});
    field("rope_dim", options.rope_dim,
          {"features of a head, its last ones, that are rotated; keys share theirs", "features", kRequired});
    field("value_dim", options.value_dim, {"width of a head's values", "features", "head_dim - rope_dim"});
    field("bias", options.bias, "the projections to the latent vectors and the output projection have biases");
    field("scale", options.scale,
          {"factor on the scores", "", "0: 1 / sqrt(head_dim), times m(mscale_all_dim)^2 of a yarn rope_scaling"});
    field("norm_eps", options.norm_eps, "epsilon of the norms of the latent vectors");
  }
};

class LatentAttention : public Attention {
 public:
  LatentAttention(const ModelConfig& config, const LatentOptions& options)
      : width_(config.d_model),
        heads_(config.n_heads),
        head_dim_(config.head_dim),
        nope_dim_(config.head_dim - options.rope_dim),
        options_(options),
        rotation_(config.rotation(options.rope_dim)),
        scale_(options.scale != 0 ? options.scale : reference_scale()) {
    const int64_t q_width = heads_ * head_dim_;
    if (has_q_latent()) {
      q_a_ = add("attention.q_a.weight", {options_.q_rank, width_}, Role::attention_in);
      if (options_.bias) q_a_bias_ = add("attention.q_a.bias", {options_.q_rank}, Role::bias);
      q_norm_ = add("attention.q_norm.weight", {options_.q_rank}, Role::norm);
      q_ = add({"attention.q_b.weight", {q_width, options_.q_rank}, Role::attention_in, 1, {false, {{"q", q_width}}}});
    } else {
      q_ = add({"attention.q.weight", {q_width, width_}, Role::attention_in, 1, {false, {{"q", q_width}}}});
    }
    kv_a_ = add("attention.kv_a.weight", {options_.kv_rank + options_.rope_dim, width_}, Role::attention_in);
    if (options_.bias) kv_a_bias_ = add("attention.kv_a.bias", {options_.kv_rank + options_.rope_dim}, Role::bias);
    kv_norm_ = add("attention.kv_norm.weight", {options_.kv_rank}, Role::norm);
    kv_b_ =
        add("attention.kv_b.weight", {heads_ * (nope_dim_ + options_.value_dim), options_.kv_rank}, Role::attention_in);
    out_ = add("attention.out.weight", {width_, heads_ * options_.value_dim}, Role::attention_out);
    if (options_.bias) out_bias_ = add("attention.out.bias", {width_}, Role::bias);
  }

  at::Tensor forward(PartTensors params, const at::Tensor& x, const Pass& pass) const override {
    const int64_t batch = x.size(0), length = x.size(1), rope = options_.rope_dim;
    const auto bias = [&](size_t index) { return optional_tensor(params, options_.bias, index); };
    const auto by_head = [&](const at::Tensor& part, int64_t heads) { return part.view({batch, length, heads, -1}); };
    const auto& rotary = pass.rotary(rotation_);

    auto from = x;
    if (has_q_latent())
      from = ops::rms_norm(at::linear(x, params[q_a_], bias(q_a_bias_)), params[q_norm_], options_.norm_eps);
    const auto query = by_head(at::linear(from, params[q_]), heads_);
    const auto rotated_query = ops::apply_rotary(query.narrow(3, nope_dim_, rope), rotary);

    const auto kv_a = at::linear(x, params[kv_a_], bias(kv_a_bias_));
    const auto latent = ops::rms_norm(kv_a.narrow(2, 0, options_.kv_rank), params[kv_norm_], options_.norm_eps);
    const auto shared_key = ops::apply_rotary(by_head(kv_a.narrow(2, options_.kv_rank, rope).contiguous(), 1), rotary);
    const auto key_value = by_head(at::linear(latent, params[kv_b_]), heads_);

    const auto q = at::cat({query.narrow(3, 0, nope_dim_), rotated_query}, 3);
    const auto k = at::cat({key_value.narrow(3, 0, nope_dim_), shared_key.expand({batch, length, heads_, rope})}, 3);
    const auto v = key_value.narrow(3, nope_dim_, options_.value_dim);
    const auto out = ops::causal_attention(q, k, v, {pass.mask({}), scale_, {}});
    return at::linear(out, params[out_], bias(out_bias_));
  }

  std::optional<ops::Rotation> rotation() const override { return rotation_; }
  std::optional<ops::Sight> sight() const override { return ops::Sight{}; }
  int64_t cache_floats(int64_t n_tokens) const override { return n_tokens * (options_.kv_rank + options_.rope_dim); }
  Json options() const override { return evenkeel::to_json(WithKind{"latent", options_}); }

  // As autograd keeps them: the latent vectors and what is projected from them, whole heads put together, the output.
  ActivationFloats activations() const override {
    const auto of = [](int64_t size) { return static_cast<double>(size); };
    const double H = of(width_), q = of(heads_ * head_dim_), v = of(heads_ * options_.value_dim);
    const double kv = of(heads_ * (nope_dim_ + options_.value_dim));
    const double latent = of(options_.kv_rank + options_.rope_dim + options_.q_rank);
    ActivationFloats out;
    out.kept = 2 * latent + 2 * q + kv + v + of(heads_);
    out.backward = 2 * H + 3 * q + 2 * kv + 2 * v + 2 * latent;
    out.forward = 2 * H + 3 * q + kv + v + 2 * latent;
    return out;
  }

 private:
  bool has_q_latent() const { return options_.q_rank > 0; }
  double reference_scale() const {
    const double plain = 1 / std::sqrt(static_cast<double>(head_dim_));
    const auto* yarn = std::get_if<ops::YarnScaling>(&rotation_.scaling);
    if (yarn == nullptr || yarn->mscale_all_dim == 0) return plain;
    const double m = ops::yarn_mscale(yarn->factor, yarn->mscale_all_dim);
    return plain * m * m;
  }
  double other_flops_per_token(int64_t sequence_length) const override {
    return 2.0 * ops::mean_seen({}, sequence_length) * static_cast<double>(heads_ * (head_dim_ + options_.value_dim));
  }

  int64_t width_, heads_, head_dim_, nope_dim_;
  LatentOptions options_;
  ops::Rotation rotation_;
  double scale_;
  size_t q_a_ = 0, q_a_bias_ = 0, q_norm_ = 0, q_ = 0, kv_a_ = 0, kv_a_bias_ = 0, kv_norm_ = 0, kv_b_ = 0, out_ = 0,
         out_bias_ = 0;
};

std::unique_ptr<Attention> make(const AttentionPlace& place, LatentOptions options, const ConfigNode& config) {
  const ModelConfig& model = place.config;
  constexpr int64_t kMost = int64_t{1} << 24;
  const auto check = [&](bool holds, const char* key, const auto& value, const std::string& need) {
    require<ConfigError>(holds, got_at(place_of(config, key), join_path(kAttentionTable.path, key)), value, "; need ",
                         need);
  };
  check(options.kv_rank >= 1 && options.kv_rank < kMost, "kv_rank", options.kv_rank, "1..2^24 (it has no default)");
  check(options.q_rank >= 0 && options.q_rank < kMost, "q_rank", options.q_rank, "0 (none)..2^24");
  check(options.rope_dim >= 2 && options.rope_dim < model.head_dim && options.rope_dim % 2 == 0, "rope_dim",
        options.rope_dim, "an even number from 2, less than model.head_dim = " + std::to_string(model.head_dim));
  if (options.value_dim == 0) options.value_dim = model.head_dim - options.rope_dim;
  check(options.value_dim >= 1 && options.value_dim < kMost, "value_dim", options.value_dim, "1..2^24");
  check(options.scale >= 0 && std::isfinite(options.scale), "scale", options.scale, "0 (the usual one) or more");
  check(options.norm_eps > 0 && std::isfinite(options.norm_eps), "norm_eps", options.norm_eps, "more than 0");
  const std::string kind = " of latent attention";
  require<ConfigError>(model.n_kv_heads == model.n_heads, config.where, ": got model.n_kv_heads = ", model.n_kv_heads,
                       kind, "; need ", model.n_heads, ", as n_heads: each head has keys of its own");
  require<ConfigError>(model.qk_norm == QkNorm::none, config.where,
                       ": got model.qk_norm = ", to_json(model.qk_norm).dump(), kind,
                       "; need false: the latent vectors are normalised");
  return std::make_unique<LatentAttention>(model, options);
}

}  // namespace

AttentionFactory latent_attention() { return kind_factory(kAttentionTable, make); }

}  // namespace evenkeel::model
