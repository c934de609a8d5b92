#include "train/held_out.h"

#include <utility>

#include "train/scoring.h"
#include "train/evaluate.h"

namespace evenkeel::train {
namespace {

EvalOptions options_of(const HeldOut& held_out, const EvalConfig& eval, const EvalSource& source) {
  EvalOptions options;
  options.name = source.name;
  options.sequence_length = held_out.config.train.sequence_length;
  options.batch_size = held_out.config.train.micro_batch_size;
  options.max_tokens = eval.max_tokens;
  options.separate_documents = held_out.config.train.separate_documents;
  options.objective = scoring_objective(held_out.config, source);
  options.step = held_out.state.step;
  return options;
}

// The sets of `eval` that the line does not have.
void add_sets(const HeldOut& held_out, const EvalConfig& eval, record::EvaluationRow& line) {
  const auto& [config, phase, model, state, data] = held_out;
  for (const auto& source : eval.data) {
    if (line.find(source.name) != nullptr) continue;
    const auto found = evaluate(model, {state.params, state.router_states}, data.at(source.path.value),
                                options_of(held_out, eval, source));
    line.eval.emplace_back(source.name, set_result(found));
  }
}

record::EvaluationRow empty_line(const HeldOut& held_out) {
  return {held_out.state.step, held_out.phase.name, held_out.state.tokens, {}};
}

}  // namespace

record::EvaluationRow evaluation_line(const HeldOut& held_out) {
  auto line = empty_line(held_out);
  add_sets(held_out, *held_out.phase.eval, line);
  return line;
}

record::EvaluationRow baseline_line(const HeldOut& held_out) {
  auto line = empty_line(held_out);
  for (const auto& phase : held_out.config.phases)
    if (phase.eval) add_sets(held_out, *phase.eval, line);
  return line;
}

record::SaturationRow saturation_line(const HeldOut& held_out, const TrainState& start) {
  const auto& [config, phase, model, state, data] = held_out;
  const model::Snapshot before{start.params, start.router_states}, after{state.params, state.router_states};
  record::SaturationRow line{state.step, phase.name, {}};
  for (const auto& source : phase.eval->data) {
    auto rows = evaluate_saturation(model, {before, after}, data.at(source.path.value),
                                    options_of(held_out, *phase.eval, source));
    for (auto& row : rows) {
      row.from = state.records.back().start_step;
      row.to = state.step;
    }
    line.saturation.emplace_back(source.name, std::move(rows));
  }
  return line;
}

}  // namespace evenkeel::train
