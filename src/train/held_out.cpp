#include "train/held_out.h"

#include <utility>

#include "train/evaluate.h"

namespace evenkeel::train {
namespace {

EvalOptions options_of(const HeldOut& held_out, const EvalSource& source) {
  EvalOptions options;
  options.name = source.name;
  options.sequence_length = held_out.config.train.sequence_length;
  options.batch_size = held_out.config.train.micro_batch_size;
  options.max_tokens = held_out.phase.eval->max_tokens;
  options.separate_documents = held_out.config.train.separate_documents;
  options.step = held_out.state.step;
  return options;
}

Json line_of(const HeldOut& held_out) {
  Json line = Json::object();
  line["step"] = held_out.state.step;
  line["phase"] = held_out.phase.name;
  return line;
}

}  // namespace

Json evaluation_line(const HeldOut& held_out) {
  const auto& [config, phase, model, state, data] = held_out;
  Json line = line_of(held_out), results = Json::object();
  for (const auto& source : phase.eval->data)
    results[source.name] = to_json(evaluate(model, state.params, state.router_states, data.at(source.path.value), options_of(held_out, source)), /*with_routing=*/true);
  line["tokens"] = state.tokens;
  line["eval"] = std::move(results);
  return line;
}

Json saturation_line(const HeldOut& held_out, const TrainState& start) {
  const auto& [config, phase, model, state, data] = held_out;
  const model::Snapshot before{start.params, start.router_states}, after{state.params, state.router_states};
  const int64_t from = state.records.back().start_step;
  Json line = line_of(held_out), sets = Json::object();
  for (const auto& source : phase.eval->data) {
    Json rows = Json::array();
    for (const auto& row : evaluate_saturation(model, before, after, data.at(source.path.value), options_of(held_out, source)))
      rows.push_back(Json::Object{{"layer", row.layer}, {"k", row.k}, {"from", from}, {"to", state.step}, {"saturation", row.saturation}, {"chance", row.chance}});
    sets[source.name] = std::move(rows);
  }
  line["saturation"] = std::move(sets);
  return line;
}

}  // namespace evenkeel::train
