#include "train/evaluate.h"

#include <cmath>
#include <numbers>

#include <ATen/core/grad_mode.h>

#include "core/errors.h"
#include "ops/cross_entropy.h"

namespace evenkeel::train {
namespace {

model::ModelOutput forward(const model::Transformer& model, const ops::Params& params, const std::vector<ops::Params>& router_states,
                           const data::Batch& batch, const EvalOptions& options) {
  const auto device = params.at("embedding.weight").device();
  model::ModelInput input;
  input.tokens = batch.tokens.to(device);
  if (batch.document_ids.defined()) input.document_ids = batch.document_ids.to(device);
  input.mode = options.mode;
  return model.forward(params, router_states, input);
}

}  // namespace

EvalResult evaluate(const model::Transformer& model, const ops::Params& params, const std::vector<ops::Params>& router_states,
                    const data::IndexedDataset& dataset, const EvalOptions& options) {
  const at::NoGradGuard no_grad;
  data::WindowReader reader(dataset, options.sequence_length, options.max_tokens, options.separate_documents);
  require<DataError>(reader.n_scored_tokens() > 0, dataset.prefix().string(), ": got ", dataset.n_tokens(), " tokens; need at least 2 to score one");
  EvalResult result;
  double sum = 0;
  for (auto batch = reader.next(options.batch_size); batch.tokens.size(0) > 0; batch = reader.next(options.batch_size)) {
    const auto output = forward(model, params, router_states, batch, options);
    const auto losses = ops::cross_entropy_per_token(output.hidden, model.head(params), batch.targets.reshape({-1}).to(output.hidden.device()));
    sum += losses.sum(at::kDouble).item<double>();
    result.n_tokens += batch.targets.numel();
    analysis::add_counts(result.routing, output.routing);
  }
  result.loss = sum / static_cast<double>(result.n_tokens);
  if (dataset.text_bytes() > 0) {
    const double bytes = static_cast<double>(dataset.text_bytes()) * static_cast<double>(result.n_tokens) / static_cast<double>(dataset.n_tokens());
    result.bits_per_byte = sum / (std::numbers::ln2 * bytes);
  }
  return result;
}

Json to_json(const EvalResult& result, bool with_routing) {
  Json out = Json::object();
  out["loss"] = result.loss;
  out["perplexity"] = std::exp(result.loss);
  out["bits_per_byte"] = result.bits_per_byte ? Json(*result.bits_per_byte) : Json();
  out["tokens"] = result.n_tokens;
  if (!with_routing) return out;
  Json routing = Json::array();
  for (const auto& counts : result.routing) routing.push_back(analysis::to_json(analysis::routing_stats(counts)));
  out["routing"] = std::move(routing);
  return out;
}

std::vector<LayerSaturation> evaluate_saturation(const model::Transformer& model, const ops::Params& before, const ops::Params& after,
                                                 const std::vector<ops::Params>& router_states, const data::IndexedDataset& dataset,
                                                 const EvalOptions& options) {
  const at::NoGradGuard no_grad;
  data::WindowReader reader(dataset, options.sequence_length, options.max_tokens, options.separate_documents);
  std::vector<LayerSaturation> result;
  int64_t n_tokens = 0;
  for (auto batch = reader.next(options.batch_size); batch.tokens.size(0) > 0; batch = reader.next(options.batch_size)) {
    const auto first = forward(model, before, router_states, batch, options).routing;
    const auto second = forward(model, after, router_states, batch, options).routing;
    const auto n = batch.tokens.numel();
    size_t row = 0;
    for (size_t i = 0; i < first.size(); ++i) {
      const int64_t top_k = first[i].top_k;
      const auto ids = [&](const moe::RoutingDecision& decision) { return decision.expert_ids.view({-1, top_k}); };
      for (const int64_t k : top_k > 1 ? std::vector<int64_t>{1, top_k} : std::vector<int64_t>{1}) {
        if (row == result.size()) result.push_back({first[i].layer, k, 0, static_cast<double>(k) / static_cast<double>(first[i].n_experts)});
        result[row++].saturation += static_cast<double>(n) * analysis::saturation(ids(first[i]), ids(second[i]), k);
      }
    }
    n_tokens += n;
  }
  for (auto& row : result) row.saturation /= static_cast<double>(std::max<int64_t>(n_tokens, 1));
  return result;
}

}  // namespace evenkeel::train
