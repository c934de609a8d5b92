#include "model/block.h"

#include "ops/norm.h"

namespace evenkeel::model {

LayerSpec layer_of(std::shared_ptr<const Attention> attention, std::shared_ptr<const Ffn> ffn, int64_t width,
                   double norm_eps) {
  LayerSpec out{std::move(attention), std::move(ffn), norm_eps, {}};
  const auto add_part = [&](const char* norm, const LayerPart& part) {
    out.parameters.push_back({norm, {width}, Role::norm});
    out.parameters.insert(out.parameters.end(), part.parameters().begin(), part.parameters().end());
  };
  add_part("attention_norm.weight", *out.attention);
  add_part("ffn_norm.weight", *out.ffn);
  return out;
}

LayerSpec layer_spec(const ModelConfig& config, int64_t layer) {
  auto ffn = config.has_experts(layer) ? experts_ffn(config, layer) : dense_ffn(config);
  return layer_of(make_attention(config, layer), std::move(ffn), config.d_model, config.norm_eps);
}

std::vector<LayerSpec> layer_specs(const ModelConfig& config) {
  std::vector<LayerSpec> out;
  for (int64_t layer = 0; layer < config.n_layers; ++layer) out.push_back(layer_spec(config, layer));
  return out;
}

BlockOutput block_forward(const LayerSpec& spec, PartTensors params, const at::Tensor& stream, const Pass& pass) {
  const size_t n_attention = spec.attention->parameters().size();
  const auto attention = params.subspan(1, n_attention), ffn = params.subspan(n_attention + 2);
  const auto attended =
      stream + spec.attention->forward(attention, ops::rms_norm(stream, params[0], spec.norm_eps), pass);
  const auto normed = ops::rms_norm(attended, params[n_attention + 1], spec.norm_eps).view({-1, stream.size(2)});
  auto result = spec.ffn->forward(ffn, normed, pass);
  return {attended + result.out.view(stream.sizes()), std::move(result.decision)};
}

}  // namespace evenkeel::model
