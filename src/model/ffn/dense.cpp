// One gated network that every token passes (arXiv 2002.05202).
#include "model/ffn/ffn.h"
#include "ops/gated_ffn.h"

namespace evenkeel::model {
namespace {

class DenseFfn : public Ffn {
 public:
  explicit DenseFfn(const ModelConfig& config)
      : width_(config.d_model), inner_(config.d_ff), activation_(config.activation), has_bias_(config.ffn_bias) {
    gate_up_ = add("ffn.gate_up.weight", {2 * inner_, width_}, Role::ffn_in);
    if (has_bias_) gate_up_bias_ = add("ffn.gate_up.bias", {2 * inner_}, Role::bias);
    down_ = add("ffn.down.weight", {width_, inner_}, Role::ffn_out);
    if (has_bias_) down_bias_ = add("ffn.down.bias", {width_}, Role::bias);
  }
  FfnOutput forward(PartTensors params, const at::Tensor& x, const Pass&) const override {
    ops::GatedFfn ffn{params[gate_up_], params[down_], activation_};
    if (has_bias_) {
      ffn.gate_up_bias = params[gate_up_bias_];
      ffn.down_bias = params[down_bias_];
    }
    return {ops::gated_ffn(x, ffn), std::nullopt};
  }
  ActivationFloats activations() const override { return gated_activations(width_, inner_); }

 private:
  int64_t width_, inner_;
  ops::Activation activation_;
  bool has_bias_;
  size_t gate_up_ = 0, gate_up_bias_ = 0, down_ = 0, down_bias_ = 0;
};

}  // namespace

std::unique_ptr<Ffn> dense_ffn(const ModelConfig& config) { return std::make_unique<DenseFfn>(config); }

ActivationFloats gated_activations(int64_t width, int64_t inner) {
  const auto H = static_cast<double>(width), I = static_cast<double>(inner);
  ActivationFloats out;
  out.kept = 4 * I;  // gate and up, the activated gate, the product
  out.backward = 2 * H + 4 * I;
  out.forward = 2 * H + 4 * I;
  return out;
}

}  // namespace evenkeel::model
