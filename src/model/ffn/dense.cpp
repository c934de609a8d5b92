// One gated network that every token passes (arXiv 2002.05202).
#include "model/ffn/ffn.h"
#include "ops/gated_ffn.h"

namespace evenkeel::model {
namespace {

class DenseFfn : public Ffn {
 public:
  explicit DenseFfn(const ModelConfig& config)
      : width_(config.d_model), inner_(config.d_ff), activation_(config.activation) {
    gate_up_ = add("ffn.gate_up.weight", {2 * inner_, width_}, Role::ffn_in);
    down_ = add("ffn.down.weight", {width_, inner_}, Role::ffn_out);
  }
  FfnOutput forward(PartTensors params, const at::Tensor& x, const Pass&) const override {
    return {ops::gated_ffn(x, params[gate_up_], params[down_], activation_), std::nullopt};
  }
  ActivationFloats activations() const override { return gated_activations(width_, inner_); }

 private:
  int64_t width_, inner_;
  ops::Activation activation_;
  size_t gate_up_, down_;
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
