// The stream of tests/golden/analyses.json as a batch.
#pragma once

#include "golden/golden.h"
#include "support/observations.h"

namespace evenkeel::testing {

struct GoldenStream {
  analysis::AnalysisInput input;
  analysis::Observation batch;
  Json layers, co_routing;  // outputs
  double rtol = 0, atol = 0;
};

inline Experts experts_of(const Json& json) {
  Experts out;
  for (const auto& row : json.as_array()) out.push_back(integers_of(row));
  return out;
}

inline GoldenStream golden_stream(bool with_reference = true) {
  const auto golden = read_golden("analyses.json");
  const auto& given = golden.inputs;
  const int64_t E = given.at("n_experts").as_int(), k = given.at("top_k").as_int(),
                length = given.at("length").as_int();
  GoldenStream out;
  out.input = input_of({}, given.at("vocab_size").as_int(), length);
  out.input.minimum_count = 5;
  if (with_reference) out.input.reference = "reference";
  out.batch = batch_of(integers_of(given.at("input_ids")), length, {});
  for (size_t layer = 0; layer < given.at("model").size(); ++layer) {
    const int64_t number = static_cast<int64_t>(layer);
    out.input.layers.push_back({number, E, k});
    out.batch.routing.push_back(
        routing_of(experts_of(given.at("model").at(layer)), E, k, number, out.batch.input_ids.size(0)));
    out.batch.routing.back().dropped = ids_of(given.at("dropped").at(layer)).view({-1}).to(at::kBool);
    out.batch.routing.back().capacity = 9;
    if (with_reference)
      out.batch.reference.push_back(
          routing_of(experts_of(given.at("reference").at(layer)), E, k, number, out.batch.input_ids.size(0)));
  }
  const auto shape = out.batch.input_ids.sizes();
  out.batch.target_ids = ids_of(given.at("target_ids")).view(shape);
  out.batch.predicted_ids = ids_of(given.at("predicted_ids")).view(shape);
  out.batch.document_ids = ids_of(given.at("document_ids")).view(shape).to(at::kInt);
  out.batch.is_padding = ids_of(given.at("padding")).view(shape).to(at::kBool);
  for (auto* routing : {&out.batch.routing, &out.batch.reference})
    for (auto& decision : *routing) decision.is_padding = out.batch.is_padding.view({-1});
  out.layers = golden.outputs.at("layers");
  out.co_routing = golden.outputs.at("co_routing");
  out.rtol = golden.rtol;
  out.atol = golden.atol;
  return out;
}

}  // namespace evenkeel::testing
