// One layer of the decoder: attention, then a feed-forward network, and behind experts maybe a further one. Each sees
// the stream, and what it gives is added to it, with a norm before or after.
#pragma once

#include "model/attention/attention.h"
#include "model/ffn/ffn.h"

namespace evenkeel::model {

// What the branches of a block have in common.
struct BlockForm {
  int64_t width = 0;
  double norm_eps = 1e-5;
  NormPlacement norm_placement = NormPlacement::before;
  double residual_multiplier = 1;  // on what a branch adds to the stream
};

struct LayerSpec {
  std::shared_ptr<const Attention> attention;
  std::shared_ptr<const Ffn> ffn;
  BlockForm form;
  std::shared_ptr<const Ffn> extra = nullptr;  // mostly none
  // attention_norm.weight, the attention's, ffn_norm.weight, the feed-forward network's; extra_norm.weight, its own.
  std::vector<ParamSpec> parameters;
};
LayerSpec layer_spec(const ModelConfig& config, int64_t layer);
std::vector<LayerSpec> layer_specs(const ModelConfig& config);  // of all layers
// From its parts.
LayerSpec layer_of(std::shared_ptr<const Attention> attention, std::shared_ptr<const Ffn> ffn, const BlockForm& form,
                   std::shared_ptr<const Ffn> extra = nullptr);

struct BlockOutput {
  at::Tensor stream;                             // [B, S, H]
  std::optional<moe::RoutingDecision> decision;  // of a layer with experts
};
// A pure function. params: one for each of spec.parameters; stream [B, S, H]. Differentiable in both.
BlockOutput block_forward(const LayerSpec& spec, PartTensors params, const at::Tensor& stream, const Pass& pass);

}  // namespace evenkeel::model
