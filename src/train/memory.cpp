#include "train/memory.h"

#include <algorithm>
#include <vector>

#include "model/layout.h"
#include "ops/cross_entropy.h"
#include "train/scoring.h"

namespace evenkeel::train {
namespace {

constexpr double kFloat = 4;  // bytes

// Of one layer, its norms and both of its parts.
struct LayerFloats : model::ActivationFloats {
  double parameters = 0;
  std::optional<ops::Sight> sight = {};
};

LayerFloats layer_floats(const model::LayerSpec& spec, double width) {
  const auto attention = spec.attention->activations(), ffn = spec.ffn->activations();
  LayerFloats out;
  out.kept = 4 * width + attention.kept + ffn.kept;  // the stream and its norm, before each part
  out.backward = std::max(attention.backward, ffn.backward);
  out.forward = std::max(attention.forward, ffn.forward);
  out.decision = ffn.decision;
  out.weight_gradients = ffn.weight_gradients;
  if (spec.extra != nullptr) {
    const auto extra = spec.extra->activations();
    out.kept += 2 * width + extra.kept;
    out.backward = std::max(out.backward, extra.backward);
    out.forward = std::max(out.forward, extra.forward);
  }
  out.sight = spec.attention->sight();
  for (const auto& parameter : spec.parameters) out.parameters += static_cast<double>(parameter.n_elements());
  return out;
}

std::vector<LayerFloats> layers_of(const model::ModelConfig& config) {
  std::vector<LayerFloats> out;
  for (const auto& spec : model::layer_specs(config))
    out.push_back(layer_floats(spec, static_cast<double>(config.d_model)));
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
    const auto optimizer = run_optimizer(config);
    moments_ = optimizer->moment_floats();
    in_update_ = optimizer->floats_in_hand();
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
      above += layer.parameters;
    }
    return most;
  }

  // diagnose() asks for the routers' gradients alone and keeps the graph.
  MemoryEstimate first_look() const {
    auto out = all_kept("first look");
    double widest = 0;
    for (const auto& layer : layers_) widest = std::max(widest, tokens_ * layer.backward + layer.weight_gradients);
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
    out.optimizer += kFloat * in_update_;
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
  // Whether sequences see differently: by their documents or their prefixes.
  bool has_own_masks() const { return config_.train.separate_documents || needs_masks(config_); }
  // One for each sight that differs, fp32: [B, 1, S, S] where sequences see differently; else [1, 1, S, S] of a window.
  double mask(int64_t sequences) const {
    const int64_t length = config_.train.sequence_length;
    const bool is_apart = has_own_masks();
    std::vector<ops::Sight> sights;
    for (const auto& layer : layers_)
      if (layer.sight && std::find(sights.begin(), sights.end(), *layer.sight) == sights.end() &&
          (is_apart || (layer.sight->window > 0 && layer.sight->window < length)))
        sights.push_back(*layer.sight);
    return kFloat * tokens_of(is_apart ? sequences : 1) * static_cast<double>(length) *
           static_cast<double>(sights.size());
  }
  // And the booleans that it is made of.
  double mask_in_hand(int64_t sequences) const { return mask(sequences) * 7 / 4; }

  MemoryEstimate model_alone(const char* moment) const {
    constexpr double kProgram = 150e6;  // measured: tiny models on one and two threads
    MemoryEstimate out;
    out.moment = moment;
    out.program = kProgram;
    out.parameters = kFloat * parameters_;
    out.optimizer = kFloat * moments_;
    return out;
  }
  MemoryEstimate all_kept(const char* moment) const {
    auto out = model_alone(moment);
    double kept = width();  // of the final norm
    for (const auto& layer : layers_) kept += layer.kept;
    out.activations = kFloat * tokens_ * kept;
    out.masks = mask(config_.train.micro_batch_size);
    return out;
  }

  const RunConfig& config_;
  std::vector<LayerFloats> layers_;
  double tokens_, parameters_ = 0, head_ = 0, moments_ = 0, in_update_ = 0;
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
  return Json::Object{{"program_bytes", estimate.program},         {"parameters_bytes", estimate.parameters},
                      {"gradients_bytes", estimate.gradients},     {"optimizer_bytes", estimate.optimizer},
                      {"activations_bytes", estimate.activations}, {"masks_bytes", estimate.masks},
                      {"logits_bytes", estimate.logits},           {"other_model_bytes", estimate.other_model},
                      {"total_bytes", estimate.total()},           {"moment", estimate.moment}};
}

}  // namespace evenkeel::train
