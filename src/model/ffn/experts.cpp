// Routed experts, and shared ones that every token passes beside them.
#include "core/rng.h"
#include "model/ffn/ffn.h"
#include "model/layout.h"
#include "moe/moe_layer.h"

namespace evenkeel::model {
namespace {

class ExpertsFfn : public Ffn {
 public:
  ExpertsFfn(const ModelConfig& config, int64_t layer)
      : layer_(layer),
        moe_layer_(config.moe_layers_below(layer)),
        width_(config.d_model),
        inner_(config.d_expert),
        n_experts_(config.n_experts),
        shared_inner_(config.shared_width()),
        has_shared_gate_(config.shared_gate),
        n_balance_losses_(config.balance.terms.size()),
        experts_per_token_(experts_per_token(config)),
        form_(config.gated_form()),
        gate_up_width_(form_.gate_up_width(inner_)),
        has_bias_(config.expert_bias),
        has_router_bias_(config.router_bias),
        capacity_(config.capacity),
        router_(moe::make_router(config.router_shape(), config.router)) {
    const double share = experts_per_token_ / static_cast<double>(n_experts_);
    if (router_->traits().has_matrix) matrix_ = add("router.weight", {n_experts_, width_}, Role::router);
    if (has_router_bias_) router_bias_ = add("router.bias", {n_experts_}, Role::bias);
    const ops::Packing stacked{true, {}}, stacked_pairs{true, form_.gate_up_parts(inner_)};
    gate_up_ = add({"experts.gate_up", {n_experts_, gate_up_width_, width_}, Role::ffn_in, share, stacked_pairs});
    if (has_bias_)
      gate_up_bias_ = add({"experts.gate_up_bias", {n_experts_, gate_up_width_}, Role::bias, share, stacked_pairs});
    down_ = add({"experts.down", {n_experts_, width_, inner_}, Role::ffn_out, share, stacked});
    if (has_bias_) down_bias_ = add({"experts.down_bias", {n_experts_, width_}, Role::bias, share, stacked});
    if (shared_inner_ == 0) return;
    const ops::Packing pair{false, form_.gate_up_parts(shared_inner_)};
    shared_gate_up_ =
        add({"shared.gate_up.weight", {form_.gate_up_width(shared_inner_), width_}, Role::ffn_in, 1, pair});
    shared_down_ = add("shared.down.weight", {width_, shared_inner_}, Role::ffn_out);
    if (has_shared_gate_) shared_gate_ = add("shared.gate.weight", {1, width_}, Role::ffn_in);
  }

  FfnOutput forward(PartTensors params, const at::Tensor& x, const Pass& pass) const override {
    moe::ExpertWeights experts{{params[gate_up_], params[down_], form_}, {}, {}, {}};
    if (has_bias_) {
      experts.gate_up_bias = params[gate_up_bias_];
      experts.down_bias = params[down_bias_];
    }
    if (shared_inner_ > 0) {
      experts.shared_gate_up = params[shared_gate_up_];
      experts.shared_down = params[shared_down_];
      if (has_shared_gate_) experts.shared_gate = params[shared_gate_];
    }
    ops::StoredExperts stored;
    if (const auto* load = pass.expert_loader()) {
      stored = {n_experts_, inner_, [&, load](int64_t expert) { return expert_of(*load, expert); }};
      experts.stored = &stored;
    }
    auto result = moe::moe_layer(*router_, router_input(params, x, pass), experts, capacity_);
    return {std::move(result.out), std::move(result.decision)};
  }

  const moe::Router* router() const override { return router_.get(); }

  // Rows of all assignments: what the experts see and their two halves stay; see ops/gated_ffn.cpp for what the passes
  // have in hand.
  ActivationFloats activations() const override {
    constexpr double kIds = 10;  // four ids of 8 bytes, weight and its order
    const auto H = static_cast<double>(width_), I = static_cast<double>(inner_), E = static_cast<double>(n_experts_);
    const auto G = static_cast<double>(gate_up_width_);
    const double K = experts_per_token_, scores = E * (3 + static_cast<double>(n_balance_losses_));
    ActivationFloats out;
    out.decision = E + kIds * K;
    out.kept = K * (H + G + kIds) + scores;
    out.backward = 3 * H + K * (2 * H + G + 2 * I);
    out.forward = 3 * H + K * (2 * H + G + I) + scores;
    out.weight_gradients = E * H * (G + I);
    if (shared_inner_ == 0) return out;
    const auto shared = gated_activations(width_, shared_inner_, form_);
    out.kept += shared.kept;
    out.backward = std::max(out.backward, shared.backward);
    out.forward = std::max(out.forward, shared.forward);
    return out;
  }

 private:
  ops::ExpertMatrices expert_of(const ExpertLoader& load, int64_t expert) const {
    const auto part = [&](size_t index) { return load(parameters()[index].name, expert); };
    ops::ExpertMatrices out{part(gate_up_), part(down_)};
    if (has_bias_) {
      out.gate_up_bias = part(gate_up_bias_);
      out.down_bias = part(down_bias_);
    }
    return out;
  }

  moe::RouterInput router_input(PartTensors params, const at::Tensor& x, const Pass& pass) const {
    const auto& input = pass.input();
    moe::RouterInput out;
    out.hidden = x;
    if (router_->traits().has_matrix) out.weight = params[matrix_];
    if (has_router_bias_) out.bias = params[router_bias_];
    out.token_ids = input.tokens.reshape({-1});
    out.n_sequences = input.tokens.size(0);
    if (input.is_padding.defined()) out.is_padding = input.is_padding.reshape({-1});
    out.mode = input.mode;
    out.state = &pass.router_state(moe_layer_);
    if (!input.step_plans.empty()) out.step_plan = input.step_plans.at(moe_layer_);
    out.seed = combine_bits(input.seed, static_cast<uint64_t>(layer_));
    out.layer = layer_;
    out.step = input.step;
    return out;
  }

  int64_t layer_;
  size_t moe_layer_;  // its place among the layers with experts
  int64_t width_, inner_, n_experts_, shared_inner_;
  bool has_shared_gate_;
  size_t n_balance_losses_;
  double experts_per_token_;
  ops::GatedForm form_;
  int64_t gate_up_width_;
  bool has_bias_, has_router_bias_;
  moe::CapacityConfig capacity_;
  std::unique_ptr<moe::Router> router_;
  size_t matrix_ = 0, router_bias_ = 0, gate_up_ = 0, gate_up_bias_ = 0, down_ = 0, down_bias_ = 0;
  size_t shared_gate_up_ = 0, shared_down_ = 0, shared_gate_ = 0;
};

}  // namespace

std::unique_ptr<Ffn> experts_ffn(const ModelConfig& config, int64_t layer) {
  return std::make_unique<ExpertsFfn>(config, layer);
}

}  // namespace evenkeel::model
