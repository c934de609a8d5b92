#include "train/memory.h"

#include <algorithm>
#include <vector>

#include "model/layout.h"
#include "ops/cross_entropy.h"

namespace evenkeel::train {
namespace {

constexpr double kFloat = 4;  // bytes

// Of one layer, in floats a token but for the parameters.
struct LayerFloats {
  double kept = 0;      // from the forward pass until its backward pass
  double backward = 0;  // what its backward pass has in hand at once
  double forward = 0;   // what a forward pass without gradient has in hand at once
  double decision = 0;  // what the router's decision keeps
  double parameters = 0;
  double expert_gradients = 0;  // made together, even where nobody asks for them
};

// What ops/attention.h, ops/norm.h and autograd keep: stream and its norm, queries and keys with their rotation, values
// (within their projection), the output, and a number a head.
void add_attention(const model::ModelConfig& m, LayerFloats& layer) {
  const auto H = static_cast<double>(m.d_model), q = static_cast<double>(m.n_heads * m.head_dim),
             kv = static_cast<double>(m.n_kv_heads * m.head_dim);
  const double projection = q + 2 * kv;
  const bool repeats =
      m.n_kv_heads != m.n_heads;  // keys and values are copied for each head; the projection is then let go
  layer.kept += 2 * H + 2 * q + (repeats ? 2 * q : projection + kv) + static_cast<double>(m.n_heads);
  if (m.qk_norm != model::QkNorm::none) layer.kept += q + kv;
  // Gradients of output, queries, keys and values, and of the parts of the projection, each as wide as all of it.
  layer.backward = std::max(layer.backward, 2 * H + q + 3 * projection);
  layer.forward = std::max(layer.forward, 2 * H + 2 * q + 2 * projection);
}

void add_gated(double H, double inner, LayerFloats& layer) {
  layer.kept += 4 * inner;  // gate and up, the activated gate, the product
  layer.backward = std::max(layer.backward, 2 * H + 4 * inner);
  layer.forward = std::max(layer.forward, 2 * H + 4 * inner);
}

// Rows of all assignments: what the experts see and their two halves stay; see ops/gated_ffn.cpp for what the passes
// have in hand.
void add_experts(const model::ModelConfig& m, LayerFloats& layer) {
  const auto H = static_cast<double>(m.d_model), I = static_cast<double>(m.d_expert),
             E = static_cast<double>(m.n_experts), S = static_cast<double>(m.n_shared_experts);
  const double K = model::experts_per_token(m);
  constexpr double kIds = 10;  // four ids of 8 bytes, weight and its order
  const double scores = E * (3 + static_cast<double>(m.balance.terms.size()));
  layer.decision = E + kIds * K;
  layer.kept += K * (H + 2 * I + kIds) + scores;
  layer.backward = std::max(layer.backward, 3 * H + K * (2 * H + 4 * I));
  layer.forward = std::max(layer.forward, 3 * H + K * (2 * H + 3 * I) + scores);
  if (m.n_shared_experts > 0) add_gated(H, S * I, layer);
  layer.expert_gradients = 3 * E * H * I;
}

std::vector<LayerFloats> layers_of(const model::ModelConfig& m) {
  std::vector<LayerFloats> out(static_cast<size_t>(m.n_layers));
  for (const auto& spec : model::parameter_table(m)) {
    constexpr std::string_view kPrefix = "layers.";
    if (spec.name.starts_with(kPrefix))
      out[std::stoul(spec.name.substr(kPrefix.size()))].parameters += static_cast<double>(spec.n_elements());
  }
  for (int64_t i = 0; i < m.n_layers; ++i) {
    auto& layer = out[static_cast<size_t>(i)];
    const auto H = static_cast<double>(m.d_model);
    add_attention(m, layer);
    layer.kept += 2 * H;  // stream and norm before the FFN
    if (m.has_experts(i)) {
      add_experts(m, layer);
    } else {
      add_gated(H, static_cast<double>(m.d_ff), layer);
    }
  }
  return out;
}

// The moments at which a run may have most.
class Moments {
 public:
  explicit Moments(const RunConfig& config)
      : config_(config),
        layers_(layers_of(config.model)),
        tokens_(tokens_of(config.train.micro_batch_size)),
        accumulates_(config.train.micro_batch_size < config.train.batch_size) {
    const auto& m = config.model;
    parameters_ = static_cast<double>(model::count_parameters(m).total);
    head_ = static_cast<double>(m.vocab_size * m.d_model);
  }

  // The chunk's logits and probabilities; the gradients of hidden states and head are made with them.
  MemoryEstimate cross_entropy() const {
    auto out = all_kept("backward pass");
    const double rows = std::min(tokens_, static_cast<double>(ops::kChunkRows));
    out.logits = kFloat * (2 * rows * static_cast<double>(config_.model.vocab_size) + head_);
    out.activations += kFloat * tokens_ * 2 * width();
    if (accumulates_) out.gradients = kFloat * parameters_;
    return out;
  }

  // At the backward pass of the layers from the last: what is below is still kept, the gradients of what is above are
  // there.
  MemoryEstimate backward() const {
    auto most = all_kept("backward pass");
    most.logits = kFloat * 2 * head_;  // the head's gradient and its scaled copy
    most.activations += kFloat * tokens_ * 3 * width();
    if (accumulates_) most.gradients = kFloat * parameters_;
    double above = head_;
    auto now = all_kept("backward pass");
    for (size_t i = layers_.size(); i-- > 0;) {
      const auto& layer = layers_[i];
      now.gradients = kFloat * (accumulates_ ? parameters_ + layer.parameters : above + layer.parameters);
      const auto held = now.activations;
      now.activations += kFloat * tokens_ * layer.backward;
      if (now.total() > most.total()) most = now;
      now.activations = held - kFloat * tokens_ * layer.kept;
      now.masks -= mask(config_.train.micro_batch_size);
      above += layer.parameters;
    }
    return most;
  }

  // diagnose() asks for the routers' gradients alone and keeps the graph.
  MemoryEstimate first_look() const {
    auto out = all_kept("first look");
    double widest = 0;
    for (const auto& layer : layers_) widest = std::max(widest, tokens_ * layer.backward + layer.expert_gradients);
    out.logits = kFloat * head_;
    out.activations += kFloat * std::max(tokens_ * width() + widest, tokens_ * 3 * width() + head_);
    return out;
  }

  // A router that plans the whole step passes all its tokens at once, without gradient: the decisions of all layers
  // stay.
  MemoryEstimate step_plan() const {
    auto out = model_alone("plan of the step");
    double widest = 0, decisions = 0;
    for (const auto& layer : layers_) {
      widest = std::max(widest, layer.forward);
      decisions += layer.decision;
    }
    out.activations = kFloat * tokens_of(config_.train.batch_size) * (2 * width() + widest + decisions);
    out.masks = mask_in_hand(config_.train.batch_size);
    return out;
  }

  MemoryEstimate update() const {
    auto out = model_alone("update");
    out.gradients = kFloat * parameters_;
    return out;
  }

  // Both models pass each batch; the decisions of the first wait for the second's.
  MemoryEstimate saturation() const {
    auto out = model_alone("saturation");
    double widest = 0, decisions = 0;
    for (const auto& layer : layers_) {
      widest = std::max(widest, layer.forward);
      decisions += 2 * layer.decision;
    }
    out.other_model = kFloat * parameters_;
    out.activations = kFloat * tokens_ * (2 * width() + widest + decisions);
    out.masks = mask_in_hand(config_.train.micro_batch_size);
    return out;
  }

 private:
  double width() const { return static_cast<double>(config_.model.d_model); }
  double tokens_of(int64_t sequences) const { return static_cast<double>(sequences * config_.train.sequence_length); }
  // [B, 1, S, S] fp32, which a layer keeps.
  double mask(int64_t sequences) const {
    return config_.train.separate_documents
               ? kFloat * tokens_of(sequences) * static_cast<double>(config_.train.sequence_length)
               : 0;
  }
  // And the booleans that it is made of.
  double mask_in_hand(int64_t sequences) const { return mask(sequences) * 7 / 4; }

  MemoryEstimate model_alone(const char* moment) const {
    constexpr double kProgram = 150e6;  // measured: tiny models on one and two threads
    MemoryEstimate out;
    out.moment = moment;
    out.program = kProgram;
    out.parameters = kFloat * parameters_;
    out.optimizer = 2 * kFloat * parameters_;
    return out;
  }
  MemoryEstimate all_kept(const char* moment) const {
    auto out = model_alone(moment);
    double kept = width();  // of the final norm
    for (const auto& layer : layers_) kept += layer.kept;
    out.activations = kFloat * tokens_ * kept;
    out.masks = static_cast<double>(layers_.size()) * mask(config_.train.micro_batch_size);
    return out;
  }

  const RunConfig& config_;
  std::vector<LayerFloats> layers_;
  double tokens_, parameters_ = 0, head_ = 0;
  bool accumulates_;
};

bool plans_step(const RunConfig& config) {
  const auto& m = config.model;
  if (!m.is_moe() || config.train.micro_batch_size == config.train.batch_size) return false;
  return moe::make_router(m.router_shape(), m.router)->traits().train_scope == moe::Scope::step;
}

// Saturation is measured at the end of a phase that did not start from initialisation.
bool measures_saturation(const RunConfig& config) {
  for (size_t i = 0; i < config.phases.size(); ++i)
    if (config.phases[i].eval && (i > 0 || config.phases[i].start)) return config.model.is_moe();
  return false;
}

}  // namespace

MemoryEstimate estimate_memory(const RunConfig& config) {
  const Moments moments(config);
  std::vector<MemoryEstimate> all = {moments.cross_entropy(), moments.backward(), moments.update()};
  if (config.model.is_moe()) all.push_back(moments.first_look());
  if (plans_step(config)) all.push_back(moments.step_plan());
  if (measures_saturation(config)) all.push_back(moments.saturation());
  return *std::max_element(all.begin(), all.end(),
                           [](const auto& left, const auto& right) { return left.total() < right.total(); });
}

Json to_json(const MemoryEstimate& estimate) {
  return Json::Object{{"program_bytes", estimate.program},
                      {"parameters_bytes", estimate.parameters},
                      {"gradients_bytes", estimate.gradients},
                      {"optimizer_bytes", estimate.optimizer},
                      {"activations_bytes", estimate.activations},
                      {"masks_bytes", estimate.masks},
                      {"logits_bytes", estimate.logits},
                      {"other_model_bytes", estimate.other_model},
                      {"total_bytes", estimate.total()},
                      {"moment", estimate.moment}};
}

}  // namespace evenkeel::train
