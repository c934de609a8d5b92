// One layer of the decoder: pre-norm attention, then a pre-norm feed-forward network, each added to the stream.
#pragma once

#include "model/attention/attention.h"
#include "model/ffn/ffn.h"

namespace evenkeel::model {

struct LayerSpec {
  std::shared_ptr<const Attention> attention;
  std::shared_ptr<const Ffn> ffn;
  double norm_eps = 1e-5;
  std::vector<ParamSpec>
      parameters;  // attention_norm.weight, the attention's, ffn_norm.weight, the feed-forward network's
};
LayerSpec layer_spec(const ModelConfig& config, int64_t layer);
std::vector<LayerSpec> layer_specs(const ModelConfig& config);  // of all layers
// From its parts.
LayerSpec layer_of(std::shared_ptr<const Attention> attention, std::shared_ptr<const Ffn> ffn, int64_t width,
                   double norm_eps);

struct BlockOutput {
  at::Tensor stream;                             // [B, S, H]
  std::optional<moe::RoutingDecision> decision;  // of a layer with experts
};
// A pure function. params: one for each of spec.parameters; stream [B, S, H]. Differentiable in both.
BlockOutput block_forward(const LayerSpec& spec, PartTensors params, const at::Tensor& stream, const Pass& pass);

}  // namespace evenkeel::model
