#include "model/block.h"

#include "ops/norm.h"

namespace evenkeel::model {

LayerSpec layer_of(std::shared_ptr<const Attention> attention, std::shared_ptr<const Ffn> ffn, const BlockForm& form) {
  LayerSpec out{std::move(attention), std::move(ffn), form, {}};
  const auto add_part = [&](const char* norm, const LayerPart& part) {
    out.parameters.push_back({norm, {form.width}, Role::norm});
    out.parameters.insert(out.parameters.end(), part.parameters().begin(), part.parameters().end());
  };
  add_part("attention_norm.weight", *out.attention);
  add_part("ffn_norm.weight", *out.ffn);
  return out;
}

LayerSpec layer_spec(const ModelConfig& config, int64_t layer) {
  auto ffn = config.has_experts(layer) ? experts_ffn(config, layer) : dense_ffn(config);
  return layer_of(make_attention(config, layer), std::move(ffn),
                  {config.d_model, config.norm_eps, config.norm_placement, config.residual_multiplier});
}

std::vector<LayerSpec> layer_specs(const ModelConfig& config) {
  std::vector<LayerSpec> out;
  for (int64_t layer = 0; layer < config.n_layers; ++layer) out.push_back(layer_spec(config, layer));
  return out;
}

namespace {

// The stream with what a branch adds to it.
template <class Branch>
at::Tensor with_branch(const BlockForm& form, const at::Tensor& stream, const at::Tensor& norm, const Branch& branch) {
  const auto normed = [&](const at::Tensor& x) { return ops::rms_norm(x, norm, form.norm_eps); };
  const auto added = form.norm_placement == NormPlacement::before ? branch(normed(stream)) : normed(branch(stream));
  return stream + (form.residual_multiplier == 1 ? added : added * form.residual_multiplier);
}

}  // namespace

BlockOutput block_forward(const LayerSpec& spec, PartTensors params, const at::Tensor& stream, const Pass& pass) {
  const size_t n_attention = spec.attention->parameters().size();
  const auto attention = params.subspan(1, n_attention), ffn = params.subspan(n_attention + 2);
  BlockOutput out;
  const auto attended = with_branch(spec.form, stream, params[0],
                                    [&](const at::Tensor& x) { return spec.attention->forward(attention, x, pass); });
  out.stream = with_branch(spec.form, attended, params[n_attention + 1], [&](const at::Tensor& x) {
    auto result = spec.ffn->forward(ffn, x.reshape({-1, x.size(2)}), pass);
    out.decision = std::move(result.decision);
    return result.out.view(x.sizes());
  });
  return out;
}

}  // namespace evenkeel::model
