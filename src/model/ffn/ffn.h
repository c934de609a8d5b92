// Forms of the feed-forward network of a layer: a dense one, or experts behind a router. A form is one file in
// model/ffn; `layer_spec` says which layer has which. Legend: T tokens, H width.
#pragma once

#include <memory>
#include <optional>

#include "model/config.h"
#include "model/layer_part.h"
#include "model/pass.h"

namespace evenkeel::model {

struct FfnOutput {
  at::Tensor out;                                // [T, H], to be added to the stream
  std::optional<moe::RoutingDecision> decision;  // of experts
};

class Ffn : public LayerPart {
 public:
  // x [T, H], normalised. Differentiable in x and the parameters.
  virtual FfnOutput forward(PartTensors params, const at::Tensor& x, const Pass& pass) const = 0;
  virtual const moe::Router* router() const { return nullptr; }  // of experts
};

// Its parameters are called NAME.gate_up.weight and so on.
struct DenseForm {
  std::string name = "ffn";
  int64_t width = 0, inner = 0;
  ops::GatedForm gated = {};
  bool has_bias = false;
};
std::unique_ptr<Ffn> gated_ffn(const DenseForm& form);
std::unique_ptr<Ffn> dense_ffn(const ModelConfig& config);  // of a layer without experts
std::unique_ptr<Ffn> extra_ffn(const ModelConfig& config);  // d_extra wide, behind the experts
// `layer` of the model, which has experts.
std::unique_ptr<Ffn> experts_ffn(const ModelConfig& config, int64_t layer);

// What a gated network of this inner width keeps and has in hand; for the forms that hold one.
ActivationFloats gated_activations(int64_t width, int64_t inner, const ops::GatedForm& form);

}  // namespace evenkeel::model
