#include "model/block.h"

#include "ops/norm.h"

namespace evenkeel::model {

LayerSpec layer_of(std::shared_ptr<const Attention> attention, std::shared_ptr<const Ffn> ffn, const BlockForm& form,
                   std::shared_ptr<const Ffn> extra) {
  LayerSpec out{std::move(attention), std::move(ffn), form, std::move(extra), {}};
  const auto add_part = [&](const char* norm, const LayerPart& part) {
    out.parameters.push_back({norm, {form.width}, Role::norm});
    out.parameters.insert(out.parameters.end(), part.parameters().begin(), part.parameters().end());
  };
  add_part("attention_norm.weight", *out.attention);
  add_part("ffn_norm.weight", *out.ffn);
  if (out.extra != nullptr) add_part("extra_norm.weight", *out.extra);
  return out;
}

LayerSpec layer_spec(const ModelConfig& config, int64_t layer) {
  const bool has_experts = config.has_experts(layer);
  return layer_of(make_attention(config, layer), has_experts ? experts_ffn(config, layer) : dense_ffn(config),
                  {config.d_model, config.norm_eps, config.norm_placement, config.residual_multiplier},
                  has_experts && config.d_extra > 0 ? extra_ffn(config) : nullptr);
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
  BlockOutput out{stream, {}};
  // The next branch: its norm, then its parameters.
  const auto add_branch = [&](const LayerPart& part, const auto& branch) {
    const size_t n = part.parameters().size();
    const auto own = params.subspan(1, n);
    out.stream = with_branch(spec.form, out.stream, params[0], [&](const at::Tensor& x) { return branch(own, x); });
    params = params.subspan(n + 1);
  };
  add_branch(*spec.attention,
             [&](PartTensors own, const at::Tensor& x) { return spec.attention->forward(own, x, pass); });
  for (const Ffn* ffn : {spec.ffn.get(), spec.extra.get()}) {
    if (ffn == nullptr) continue;
    add_branch(*ffn, [&](PartTensors own, const at::Tensor& x) {
      auto result = ffn->forward(own, x.reshape({-1, x.size(2)}), pass);
      if (result.decision) out.decision = std::move(result.decision);
      return result.out.view(x.sizes());
    });
  }
  return out;
}

}  // namespace evenkeel::model
