// One gated network that every token passes (arXiv 2002.05202).
#include "model/ffn/ffn.h"
#include "ops/gated_ffn.h"

namespace evenkeel::model {
namespace {

class DenseFfn : public Ffn {
 public:
  explicit DenseFfn(DenseForm form) : form_(std::move(form)) {
    const int64_t gate_up_width = form_.gated.gate_up_width(form_.inner);
    const ops::Packing packing{false, form_.gated.gate_up_parts(form_.inner)};
    gate_up_ = add({form_.name + ".gate_up.weight", {gate_up_width, form_.width}, Role::ffn_in, 1, packing});
    if (form_.has_bias) gate_up_bias_ = add({form_.name + ".gate_up.bias", {gate_up_width}, Role::bias, 1, packing});
    down_ = add(form_.name + ".down.weight", {form_.width, form_.inner}, Role::ffn_out);
    if (form_.has_bias) down_bias_ = add(form_.name + ".down.bias", {form_.width}, Role::bias);
  }
  FfnOutput forward(PartTensors params, const at::Tensor& x, const Pass&) const override {
    ops::GatedFfn ffn{params[gate_up_], params[down_], form_.gated};
    if (form_.has_bias) {
      ffn.gate_up_bias = params[gate_up_bias_];
      ffn.down_bias = params[down_bias_];
    }
    return {ops::gated_ffn(x, ffn), std::nullopt};
  }
  ActivationFloats activations() const override { return gated_activations(form_.width, form_.inner, form_.gated); }

 private:
  DenseForm form_;
  size_t gate_up_ = 0, gate_up_bias_ = 0, down_ = 0, down_bias_ = 0;
};

// What autograd keeps beside gate, up, the activated gate and the product, in inner widths.
double kept_between(ops::Activation activation) {
  if (activation == ops::Activation::swiglu_clamped) return 4;  // both clamped, the sigmoid and what it is of
  return activation == ops::Activation::swiglu_double ? 1 : 0;  // silu of the second half
}

}  // namespace

std::unique_ptr<Ffn> gated_ffn(const DenseForm& form) { return std::make_unique<DenseFfn>(form); }
std::unique_ptr<Ffn> dense_ffn(const ModelConfig& config) {
  return gated_ffn({"ffn", config.d_model, config.d_ff, config.gated_form(), config.ffn_bias});
}
std::unique_ptr<Ffn> extra_ffn(const ModelConfig& config) {
  return gated_ffn({"extra", config.d_model, config.d_extra, config.gated_form(), false});
}

ActivationFloats gated_activations(int64_t width, int64_t inner, const ops::GatedForm& form) {
  const auto H = static_cast<double>(width), I = static_cast<double>(inner);
  const auto G = static_cast<double>(form.gate_up_width(inner));
  ActivationFloats out;
  out.kept = G + (2 + kept_between(form.activation)) * I;  // gate and up, the activated gate, the product
  out.backward = 2 * H + G + 2 * I;
  out.forward = 2 * H + G + 2 * I;
  return out;
}

}  // namespace evenkeel::model
