#include "model/transformer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/linear.h>

#include "core/rng.h"
#include "ops/attention.h"
#include "ops/norm.h"

namespace evenkeel::model {

Transformer::Transformer(ModelConfig config)
    : config_(std::move(config)),
      router_(config_.is_moe() ? moe::make_router(config_.router_shape(), config_.router) : nullptr),
      activation_(*ops::activation_from_name(config_.activation)) {}

std::vector<ops::Params> Transformer::initial_router_states(uint64_t seed, const at::Tensor& token_counts) const {
  std::vector<ops::Params> states;
  for (int64_t layer = 0; layer < config_.n_layers; ++layer)
    if (config_.has_experts(layer)) states.push_back(router_->initial_state({layer, seed, token_counts}));
  return states;
}

const at::Tensor& Transformer::head(const ops::Params& params) const {
  return params.at(config_.tie_embeddings ? "embedding.weight" : "head.weight");
}

Transformer::Positions Transformer::positions_of(const ModelInput& input, at::ScalarType dtype) const {
  const auto positions = input.document_ids.defined() ? ops::positions_in_document(input.document_ids).reshape({-1})
                                                      : at::arange(input.tokens.size(1), input.tokens.options());
  return {ops::make_rotary_table(positions, config_.rotary_dims(), config_.rope_theta, dtype), input.document_ids};
}

// x [B, S, H] -> [B, S, H]
at::Tensor Transformer::attention(const ops::Params& params, const std::string& prefix, const at::Tensor& x,
                                  const Positions& positions) const {
  const int64_t batch = x.size(0), length = x.size(1), head_dim = config_.head_dim;
  const int64_t q_width = config_.n_heads * head_dim, kv_width = config_.n_kv_heads * head_dim;
  const auto qkv = at::linear(x, params.at(prefix + "attention.qkv.weight"));
  auto query = qkv.narrow(2, 0, q_width), key = qkv.narrow(2, q_width, kv_width);
  const auto by_head = [&](const at::Tensor& part) { return part.reshape({batch, length, -1, head_dim}); };
  const auto normed = [&](const at::Tensor& part, const char* name) {
    return ops::rms_norm(part, params.at(prefix + "attention." + name + ".weight"), config_.norm_eps);
  };
  if (config_.qk_norm == QkNorm::whole) {
    query = normed(query, "q_norm");
    key = normed(key, "k_norm");
  }
  query = by_head(query);
  key = by_head(key);
  if (config_.qk_norm == QkNorm::per_head) {
    query = normed(query, "q_norm");
    key = normed(key, "k_norm");
  }
  const auto out = ops::causal_attention(ops::apply_rotary(query, positions.rotary), ops::apply_rotary(key, positions.rotary),
                                         by_head(qkv.narrow(2, q_width + kv_width, kv_width)), positions.document_ids);
  return at::linear(out, params.at(prefix + "attention.out.weight"));
}

ModelOutput Transformer::forward(const ops::Params& params, const std::vector<ops::Params>& router_states,
                                 const ModelInput& input) const {
  const int64_t batch = input.tokens.size(0), length = input.tokens.size(1), width = config_.d_model;
  ModelOutput output;
  auto stream = at::embedding(params.at("embedding.weight"), input.tokens);  // [B, S, H]
  const auto positions = positions_of(input, stream.scalar_type());
  for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    stream = stream + attention(params, prefix, ops::rms_norm(stream, params.at(prefix + "attention_norm.weight"), config_.norm_eps), positions);
    const auto normed = ops::rms_norm(stream, params.at(prefix + "ffn_norm.weight"), config_.norm_eps).view({-1, width});
    if (!config_.has_experts(layer)) {
      const auto ffn = ops::gated_ffn(normed, params.at(prefix + "ffn.gate_up.weight"), params.at(prefix + "ffn.down.weight"), activation_);
      stream = stream + ffn.view({batch, length, width});
      continue;
    }
    moe::RouterInput routed;
    routed.hidden = normed;
    if (router_->traits().has_matrix) routed.weight = params.at(prefix + "router.weight");
    routed.token_ids = input.tokens.reshape({-1});
    routed.n_sequences = batch;
    if (input.is_padding.defined()) routed.is_padding = input.is_padding.reshape({-1});
    routed.mode = input.mode;
    routed.state = &router_states.at(output.routing.size());
    if (!input.step_plans.empty()) routed.step_plan = input.step_plans.at(output.routing.size());
    routed.seed = combine_bits(input.seed, static_cast<uint64_t>(layer));
    routed.layer = layer;
    routed.step = input.step;
    moe::ExpertWeights experts{params.at(prefix + "experts.gate_up"), params.at(prefix + "experts.down"), {}, {}, activation_};
    if (config_.n_shared_experts > 0) {
      experts.shared_gate_up = params.at(prefix + "shared.gate_up.weight");
      experts.shared_down = params.at(prefix + "shared.down.weight");
    }
    auto result = moe::moe_layer(*router_, routed, experts, config_.capacity);
    output.routing.push_back(std::move(result.decision));
    stream = stream + result.out.view({batch, length, width});
  }
  output.hidden = ops::rms_norm(stream, params.at("final_norm.weight"), config_.norm_eps).view({-1, width});
  return output;
}

}  // namespace evenkeel::model
