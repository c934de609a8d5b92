#include "model/layout.h"

namespace evenkeel::model {

int64_t ParamSpec::n_elements() const {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return n;
}

std::vector<ParamSpec> parameter_table(const ModelConfig& c) {
  std::vector<ParamSpec> table;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, Role role, bool is_routed = false) {
    table.push_back({name, std::move(shape), role, is_routed});
  };
  const int64_t H = c.d_model, V = c.vocab_size, E = c.n_experts, I = c.d_expert;
  const int64_t q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim;
  const bool has_router_matrix = c.is_moe() && moe::make_router(c.router_shape(), c.router)->traits().has_matrix;
  add("embedding.weight", {V, H}, Role::embedding);
  for (int64_t layer = 0; layer < c.n_layers; ++layer) {
    const std::string at = "layers." + std::to_string(layer) + ".";
    add(at + "attention_norm.weight", {H}, Role::norm);
    add(at + "attention.qkv.weight", {q + 2 * kv, H}, Role::attention_in);
    if (c.qk_norm != QkNorm::none) {
      const bool per_head = c.qk_norm == QkNorm::per_head;
      add(at + "attention.q_norm.weight", {per_head ? c.head_dim : q}, Role::norm);
      add(at + "attention.k_norm.weight", {per_head ? c.head_dim : kv}, Role::norm);
    }
    add(at + "attention.out.weight", {H, q}, Role::attention_out);
    add(at + "ffn_norm.weight", {H}, Role::norm);
    if (!c.has_experts(layer)) {
      add(at + "ffn.gate_up.weight", {2 * c.d_ff, H}, Role::ffn_in);
      add(at + "ffn.down.weight", {H, c.d_ff}, Role::ffn_out);
      continue;
    }
    if (has_router_matrix) add(at + "router.weight", {E, H}, Role::router);
    add(at + "experts.gate_up", {E, 2 * I, H}, Role::ffn_in, true);
    add(at + "experts.down", {E, H, I}, Role::ffn_out, true);
    if (c.n_shared_experts > 0) {
      add(at + "shared.gate_up.weight", {2 * c.n_shared_experts * I, H}, Role::ffn_in);
      add(at + "shared.down.weight", {H, c.n_shared_experts * I}, Role::ffn_out);
    }
  }
  add("final_norm.weight", {H}, Role::norm);
  if (!c.tie_embeddings) add("head.weight", {V, H}, Role::head);
  return table;
}

double experts_per_token(const ModelConfig& config) {
  if (!config.is_moe()) return 0;
  const double mean = moe::make_router(config.router_shape(), config.router)->traits().mean_experts;
  return mean > 0 ? mean : static_cast<double>(config.top_k);
}

namespace {
// `experts`: of experts_per_token.
int64_t active_elements(const ModelConfig& config, const ParamSpec& spec, double experts) {
  return spec.is_routed ? std::llround(static_cast<double>(spec.n_elements() / config.n_experts) * experts) : spec.n_elements();
}
}  // namespace

ParameterCounts count_parameters(const ModelConfig& config) {
  const double experts = experts_per_token(config);
  ParameterCounts counts;
  for (const auto& spec : parameter_table(config)) {
    counts.total += spec.n_elements();
    counts.active += active_elements(config, spec, experts);
    if (spec.role == Role::embedding || spec.role == Role::head) continue;
    counts.total_without_embeddings += spec.n_elements();
    counts.active_without_embeddings += active_elements(config, spec, experts);
  }
  return counts;
}

double forward_flops_per_token(const ModelConfig& config, int64_t sequence_length) {
  const double experts = experts_per_token(config);
  double flops = 0;
  for (const auto& spec : parameter_table(config)) {
    const bool is_product = spec.role != Role::norm && (spec.role != Role::embedding || config.tie_embeddings);
    if (is_product) flops += 2.0 * static_cast<double>(active_elements(config, spec, experts));
  }
  // scores and their use: 2 products of length S / 2 on average for each of n_heads * head_dim columns
  const double attention = 2.0 * static_cast<double>(sequence_length * config.n_heads * config.head_dim);
  return flops + static_cast<double>(config.n_layers) * attention;
}

}  // namespace evenkeel::model
