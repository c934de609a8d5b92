#include "train/memory.h"

#include <unistd.h>

#include "core/units.h"
#include "model/layout.h"

namespace evenkeel::train {

MemoryEstimate estimate_memory(const RunConfig& config) {
  constexpr double kBytes = 4;  // fp32
  const auto& m = config.model;
  const auto n = static_cast<double>(model::count_parameters(m).total);
  const auto tokens = static_cast<double>(config.train.micro_batch_size * config.train.sequence_length);
  const auto ends = static_cast<double>(4 * m.d_model);  // embedding, final norm and its gradient, stream
  double per_token = ends, widest_layer = 0;
  for (int64_t layer = 0; layer < m.n_layers; ++layer) {
    const double before = per_token;
    const auto qkv = static_cast<double>((m.n_heads + 2 * m.n_kv_heads) * m.head_dim);
    per_token += 4 * static_cast<double>(m.d_model) + 3 * qkv;  // norms, residuals, projections and their rotations
    if (m.has_experts(layer)) {
      const double K = model::experts_per_token(m);
      per_token += K * static_cast<double>(2 * m.d_model + 2 * m.d_expert) + 4 * static_cast<double>(m.n_experts);
      per_token += 5 * static_cast<double>(m.n_shared_experts * m.d_expert);
    } else {
      per_token += 5 * static_cast<double>(m.d_ff);
    }
    widest_layer = std::max(widest_layer, per_token - before);
  }
  constexpr double kLogitRows = 512;  // of cross_entropy's chunk
  MemoryEstimate out;
  out.parameters = out.gradients = kBytes * n;
  out.optimizer = 2 * kBytes * n;
  out.activations = kBytes * tokens * per_token;
  // A router that plans the whole step passes all its tokens at once, without gradient: a layer at a time stays.
  const bool plans_step = m.is_moe() && config.train.micro_batch_size < config.train.batch_size && moe::make_router(m.router_shape(), m.router)->traits().train_scope == moe::Scope::step;
  if (plans_step) out.activations = std::max(out.activations, kBytes * static_cast<double>(config.tokens_per_step()) * (ends + widest_layer));
  out.logits = 2 * kBytes * std::min(tokens, kLogitRows) * static_cast<double>(m.vocab_size);
  return out;
}

Json to_json(const MemoryEstimate& estimate) {
  return Json::Object{{"parameters_bytes", estimate.parameters}, {"gradients_bytes", estimate.gradients}, {"optimizer_bytes", estimate.optimizer}, {"activations_bytes", estimate.activations}, {"logits_bytes", estimate.logits}, {"total_bytes", estimate.total()}};
}

double machine_memory_bytes() {
  const auto pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGE_SIZE);
  return pages > 0 && page_bytes > 0 ? static_cast<double>(pages) * static_cast<double>(page_bytes) : 0.0;
}

void require_memory(double bytes, const std::string& what) {
  const double machine = machine_memory_bytes();
  require<ConfigError>(machine <= 0 || bytes <= machine, what, ": got a model that takes about ", human_bytes(bytes), "; need at most the machine's ",
                       human_bytes(machine), " (see evenkeel plan)");
}

}  // namespace evenkeel::train
