#include "analysis/forward.h"

#include <ATen/core/grad_mode.h>

#include "core/errors.h"
#include "core/rng.h"
#include "model/layout.h"
#include "ops/cross_entropy.h"

namespace evenkeel::analysis {
namespace {

at::Tensor on_cpu(const at::Tensor& tensor) { return tensor.defined() ? tensor.detach().cpu().contiguous() : tensor; }

moe::RoutingDecision on_cpu(const moe::RoutingDecision& decision) {
  auto out = decision;
  for (auto* tensor : {&out.logits, &out.token_ids, &out.expert_ids, &out.weights, &out.dropped, &out.is_padding})
    *tensor = on_cpu(*tensor);
  for (auto* tensor : {&out.expert_input, &out.plan, &out.balance_statistics})
    *tensor = at::Tensor();  // what only the layer itself needs
  return out;
}

std::vector<model::ModelValues> values_of(const LoadedModel& model, const LoadedModel* reference) {
  std::vector<model::ModelValues> out = {{model.model, model.values()}};
  if (reference != nullptr) out.push_back({reference->model, reference->values()});
  return out;
}

}  // namespace

uint64_t batch_seed(moe::Mode mode, uint64_t seed, int64_t number) {
  return mode == moe::Mode::train ? combine_bits(seed, static_cast<uint64_t>(number)) : 0;
}

Forwards::Forwards(const LoadedModel& model, const LoadedModel* reference, model::BatchPasses::Batches batches,
                   const ForwardOptions& options)
    : passes_(values_of(model, reference), std::move(batches),
              [options, &model, reference](const data::Batch& batch, int64_t number, const model::ModelValues& of) {
                auto input = model::input_of(data::on_device(batch, of.values.device()));
                if (!options.separate_documents)
                  input.document_ids = at::Tensor();  // windows name documents for the tables too
                input.mode = options.mode;
                input.step = (&of.model == &model.model ? model : *reference).step.value_or(0);
                input.seed = batch_seed(options.mode, options.seed, number);
                return input;
              }) {}

std::optional<Forward> Forwards::next() {
  const at::NoGradGuard no_grad;
  const auto pass = passes_.next();
  if (!pass) return std::nullopt;
  const auto& batch = pass->batch;
  const auto& output = pass->outputs[0];
  Forward out{{}, output.hidden, pass->head};
  auto& seen = out.observation;
  seen.input_ids = on_cpu(batch.tokens);
  seen.target_ids = on_cpu(batch.targets);
  seen.document_ids = on_cpu(batch.document_ids);
  at::Tensor predicted;
  ops::cross_entropy_per_token(output.hidden, pass->head, batch.targets.reshape({-1}).to(output.hidden.device()),
                               &predicted);
  seen.predicted_ids = on_cpu(predicted).view(batch.tokens.sizes());
  for (const auto& decision : output.routing) seen.routing.push_back(on_cpu(decision));
  if (pass->outputs.size() > 1)
    for (const auto& decision : pass->outputs[1].routing) seen.reference.push_back(on_cpu(decision));
  return out;
}

std::vector<LayerShape> moe_layers(const model::ModelConfig& config) {
  std::vector<LayerShape> out;
  for (const int64_t layer : model::layers_with_experts(config)) out.push_back({layer, config.n_experts, config.top_k});
  return out;
}

void check_reference(const LoadedModel& model, const LoadedModel& reference) {
  const auto need = [&](const char* what, int64_t got, int64_t wanted) {
    require<ConfigError>(got == wanted, "--reference ", reference.name, ": got ", what, " ", got, "; need ", wanted,
                         " as in ", model.name);
  };
  need("a vocabulary of", reference.vocab_size(), model.vocab_size());
  const auto layers = moe_layers(model.model.config()), others = moe_layers(reference.model.config());
  need("a number of MoE layers of", static_cast<int64_t>(others.size()), static_cast<int64_t>(layers.size()));
  for (size_t i = 0; i < layers.size(); ++i) {
    need("a MoE layer at", others[i].layer, layers[i].layer);
    need("n_experts", others[i].n_experts, layers[i].n_experts);
    need("top_k", others[i].top_k, layers[i].top_k);
  }
}

}  // namespace evenkeel::analysis
