// Lines of metrics.jsonl whose figures a test can do by hand.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/json.h"
#include "record/run_lines.h"

namespace evenkeel::testing {

// The entropy, cv and dead experts that a load gives.
inline void set_load(record::LayerRouting& layer, std::vector<double> load) {
  const auto n_experts = static_cast<double>(load.size());
  double entropy = 0, square = 0;
  layer.dead = 0;
  for (const double share : load) {
    if (share == 0) ++layer.dead;
    if (share > 0) entropy -= share * std::log(share);
    square += (share - 1 / n_experts) * (share - 1 / n_experts);
  }
  layer.entropy = load.size() > 1 ? entropy / std::log(n_experts) : 1;
  layer.cv = std::sqrt(square * n_experts);
  layer.load = std::move(load);
}

// Without a load the figures are any.
inline std::vector<record::LayerRouting> made_routing(const std::vector<double>& mri,
                                                      const std::vector<double>& load = {0.5, 0.5, 0.0, 0.0}) {
  std::vector<record::LayerRouting> out;
  for (size_t layer = 0; layer < mri.size(); ++layer) {
    out.push_back({.layer = static_cast<int64_t>(layer),
                   .mri = mri[layer],
                   .entropy = 0.9,
                   .cv = 0.5,
                   .dead = 1,
                   .dropped = 0.0,
                   .load = {},
                   .n_assignments = 32});
    if (!load.empty()) set_load(out.back(), load);
  }
  return out;
}

// A step of 32 tokens with the MRI of each layer.
inline record::StepRow made_step(int64_t step, const std::string& phase, const std::vector<double>& mri,
                                 double seconds = 0.5) {
  record::StepRow row;
  row.step = step;
  row.phase = phase;
  row.phase_step = std::max<int64_t>(1, step);  // of the first phase; text_of counts
  row.tokens = 32 * step;
  row.loss = 3.0;
  row.lr = 1e-3;
  row.seconds = seconds;
  row.tokens_per_second = 32 / seconds;
  row.routing = made_routing(mri);
  return row;
}

inline record::SetResult made_result(double loss, const std::vector<double>& mri = {}) {
  record::SetResult result;
  result.loss = loss;
  result.perplexity = loss * 10;  // tables copy it
  result.routing = made_routing(mri, {});
  return result;
}
inline record::EvaluationRow made_evaluation(int64_t step, const std::string& phase,
                                             record::BySet<record::SetResult> results) {
  return {step, phase, step * 32, std::move(results)};
}

// Of a model with one layer, in phase "a".
inline record::RunLine one_layer_step(int64_t step) { return made_step(step, "a", {0.5}); }
inline record::RunLine one_layer_evaluation(int64_t step) {
  return made_evaluation(step, "a", {{"held", made_result(2, {0.5})}});
}

inline std::string text_of(const record::RunLine& line) { return record::to_json(line).dump() + "\n"; }
// With the steps of each phase counted from 1.
inline std::string text_of(std::vector<record::RunLine> lines) {
  std::string text, phase;
  int64_t phase_step = 0;
  for (auto& line : lines) {
    if (auto* row = std::get_if<record::StepRow>(&line)) {
      phase_step = row->phase == phase ? phase_step + 1 : 1;
      phase = row->phase;
      row->phase_step = phase_step;
    }
    text += text_of(line);
  }
  return text;
}

}  // namespace evenkeel::testing
