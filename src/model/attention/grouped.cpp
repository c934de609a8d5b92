// Multi-head attention whose heads may share keys and values in groups (arXiv 2305.13245), rotated, with RMSNorm of
// queries and keys where [model] asks for it.
#include <ATen/ops/linear.h>

#include "model/attention/attention.h"
#include "ops/attention.h"
#include "ops/norm.h"

namespace evenkeel::model {
namespace {

class GroupedAttention : public Attention {
 public:
  explicit GroupedAttention(const ModelConfig& config)
      : width_(config.d_model),
        head_dim_(config.head_dim),
        q_width_(config.n_heads * config.head_dim),
        kv_width_(config.n_kv_heads * config.head_dim),
        qk_norm_(config.qk_norm),
        norm_eps_(config.norm_eps),
        rotation_{config.rotary_dims(), config.rope_theta} {
    qkv_ = add("attention.qkv.weight", {q_width_ + 2 * kv_width_, width_}, Role::attention_in);
    if (qk_norm_ != QkNorm::none) {
      const bool per_head = qk_norm_ == QkNorm::per_head;
      q_norm_ = add("attention.q_norm.weight", {per_head ? head_dim_ : q_width_}, Role::norm);
      k_norm_ = add("attention.k_norm.weight", {per_head ? head_dim_ : kv_width_}, Role::norm);
    }
    out_ = add("attention.out.weight", {width_, q_width_}, Role::attention_out);
  }

  at::Tensor forward(PartTensors params, const at::Tensor& x, const Pass& pass) const override {
    const int64_t batch = x.size(0), length = x.size(1);
    const auto qkv = at::linear(x, params[qkv_]);
    auto query = qkv.narrow(2, 0, q_width_), key = qkv.narrow(2, q_width_, kv_width_);
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
    const auto& rotary = pass.rotary(rotation_);
    const auto value = by_head(qkv.narrow(2, q_width_ + kv_width_, kv_width_));
    const auto out =
        ops::causal_attention(ops::apply_rotary(query, rotary), ops::apply_rotary(key, rotary), value, pass.mask());
    return at::linear(out, params[out_]);
  }

  std::optional<ops::Rotation> rotation() const override { return rotation_; }
  Json options() const override { return Json::Object{{"kind", "grouped"}}; }
  int64_t cache_floats(int64_t n_tokens) const override { return 2 * kv_width_ * n_tokens; }

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
    // Gradients of output, queries, keys and values, and of the parts of the projection, each as wide as all of it.
    out.backward = 2 * H + q + 3 * projection;
    out.forward = 2 * H + 2 * q + 2 * projection;
    return out;
  }

 private:
  // Scores and their use: two products of S / 2 positions on average, as causal attention sees them, with all heads.
  double other_flops_per_token(int64_t sequence_length) const override {
    return 2.0 * static_cast<double>(sequence_length * q_width_);
  }

  int64_t width_, head_dim_, q_width_, kv_width_;
  QkNorm qk_norm_;
  double norm_eps_;
  ops::Rotation rotation_;
  size_t qkv_ = 0, q_norm_ = 0, k_norm_ = 0, out_ = 0;
};

// Its widths stand in [model] itself: n_heads, n_kv_heads, head_dim.
struct GroupedOptions {
  static void visit_fields(auto&, auto&&) {}
};

std::unique_ptr<Attention> make(const AttentionPlace& place, GroupedOptions, const ConfigNode&) {
  return std::make_unique<GroupedAttention>(place.config);
}

}  // namespace

AttentionFactory grouped_attention() { return kind_factory(kAttentionTable, make); }

}  // namespace evenkeel::model
