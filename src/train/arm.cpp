#include "train/arm.h"

#include <algorithm>

#include "core/json_lines.h"
#include "core/json_value.h"
#include "record/run_reader.h"
#include "train/eval_collapse.h"
#include "train/resolved_recipe.h"
#include "train/shift_sets.h"

namespace evenkeel::train {
namespace {

const std::string& text_at(const Json& json, const char* key) { return json.at(key).as_string(); }

const Json::Array& phases_of(const Arm& arm) { return arm.resolved.at("phase").as_array(); }

// The index of a phase; none where the recipe no longer has it.
std::optional<size_t> phase_index(const Arm& arm, const std::string& name) {
  for (size_t i = 0; i < phases_of(arm).size(); ++i)
    if (phase_name(arm, i) == name) return i;
  return std::nullopt;
}

// Sums over the steps before each phase, for the MRI that it starts from.
void add_to_later_phases(Arm& arm, const record::StepRow& step) {
  const auto window = static_cast<int64_t>(kShiftWindow);
  std::optional<std::vector<double>> mri;
  for (size_t i = 0; i < arm.shifts.size(); ++i) {
    auto& shift = arm.shifts[i];
    if (step.routing.empty() || step.step > shift.step || step.step <= shift.step - window) continue;
    if (!mri) mri = mri_columns(step.routing);
    shift.mri_sums.resize(mri->size(), 0.0);
    for (size_t column = 0; column < mri->size(); ++column) shift.mri_sums[column] += (*mri)[column];
    ++shift.n_steps;
  }
}

// MRI of held-out text of the old data at step 0, in each of mri_columns. Unknown where it would be another quantity
// than the MRI of the steps: the same data, or a router that routes otherwise at evaluation (a Sinkhorn plan is of
// training alone).
std::vector<std::optional<double>> mri_at_start(const Arm& arm) {
  const auto* line = comes_from_elsewhere(arm) ? first_evaluation(arm) : nullptr;
  const auto sets = shift_sets(arm);
  const auto* result = line != nullptr && sets.old_data != sets.new_data ? line->find(sets.old_data) : nullptr;
  if (result == nullptr || result->routing.empty()) return {};
  const auto config = arm_model(arm);
  const auto traits = moe::make_router(config.router_shape(), config.router)->traits();
  if (traits.train_scope != traits.eval_scope) return {};
  const auto mri = mri_columns(result->routing);
  return {mri.begin(), mri.end()};
}

// Of a phase that has begun, in each of mri_columns.
std::vector<std::optional<double>> mri_before(const Arm& arm, size_t index) {
  const auto& shift = arm.shifts[index];
  std::vector<std::optional<double>> out;
  if (shift.n_steps == 0 && index == 0) out = mri_at_start(arm);
  for (const double sum : shift.mri_sums) out.emplace_back(sum / static_cast<double>(shift.n_steps));
  out.resize(arm.phases[index].layers().size() + 1);
  return out;
}

int64_t n_sources_drawn(const PhaseFigures& phase) {
  return std::count_if(phase.drawn().begin(), phase.drawn().end(), [](const auto& entry) { return entry.second > 0; });
}

void add(Arm& arm, const record::StepRow& step) {
  add_to_later_phases(arm, step);
  if (const auto index = phase_index(arm, step.phase)) {
    PhaseFigures& phase = arm.phases[*index];
    const int64_t n_known = n_sources_drawn(phase);
    phase.add(step);
    // The first phase's old data, of which a continued model's MRI is, depends on what has been drawn.
    const bool is_asked_anew = *index == 0 && n_sources_drawn(phase) != n_known;
    if (phase.n_steps() == 1 || is_asked_anew) phase.begin(mri_before(arm, *index));
  }
  for (const auto& alarm : step.alarms)
    arm.alarms.push_back({step.step, step.phase, step.seconds, step.loss, alarm, {}});
}

// What an evaluation shows of a collapse that no step before it in the phase has told of.
void add_eval_alarms(Arm& arm, const record::EvaluationRow& evaluation) {
  const Json& model = arm.resolved.at("model");
  for (const auto& [data, result] : evaluation.eval) {
    if (result.routing.empty()) continue;
    for (auto& alarm : find_eval_collapse(result, model.at("n_experts").as_int(), model.at("top_k").as_int())) {
      const bool is_known =
          std::any_of(arm.alarms.begin(), arm.alarms.end(), [&, &data = data](const FoundAlarm& found) {
            return found.phase == evaluation.phase && found.alarm.is_collapse() && found.alarm.layer == alarm.layer &&
                   (!found.data || (found.data == data && found.alarm.kind == alarm.kind));
          });
      if (!is_known) arm.alarms.push_back({evaluation.step, evaluation.phase, 0, result.loss, std::move(alarm), data});
    }
  }
}

// Of what a later evaluation of the phase has replaced, the routing goes: it is most of an evaluation's size.
void add(Arm& arm, record::EvaluationRow evaluation) {
  add_eval_alarms(arm, evaluation);
  for (const auto& [data, result] : evaluation.eval)
    for (auto earlier = arm.evaluations.rbegin();
         earlier != arm.evaluations.rend() && earlier->phase == evaluation.phase && earlier->step > 0; ++earlier) {
      const auto replaced = std::find_if(earlier->eval.begin(), earlier->eval.end(),
                                         [&](const auto& entry) { return entry.first == data; });
      if (replaced == earlier->eval.end()) continue;
      replaced->second.routing = {};
      break;  // those before it have lost theirs
    }
  arm.evaluations.push_back(std::move(evaluation));
}

void add(Arm& arm, record::SaturationRow saturation) { arm.saturations.push_back(std::move(saturation)); }

}  // namespace

void add_line(Arm& arm, record::RunLine line) {
  if (arm.phases.empty()) {
    arm.phases.resize(phases_of(arm).size());
    for (size_t i = 0; i < arm.phases.size(); ++i) arm.shifts.push_back({step_before_phase(arm, i), {}, 0});
  }
  std::visit([&](auto&& row) { add(arm, std::move(row)); }, std::move(line));
}

Arm read_arm(const std::string& name, const std::string& group, const std::filesystem::path& run) {
  Arm arm;
  arm.name = name;
  arm.group = group;
  arm.run = run;
  arm.resolved = read_json(run / "resolved.json");
  require_resolved_recipe(arm.resolved, (run / "resolved.json").string());
  record::RunReader reader(run / "metrics.jsonl");
  while (auto line = reader.next()) add_line(arm, std::move(*line));
  return arm;
}

Arm read_arm(const std::filesystem::path& run, const std::string& name) {
  const std::string own = !name.empty() ? name : std::filesystem::absolute(run).lexically_normal().filename().string();
  return read_arm(own, own, run);
}

model::ModelConfig arm_model(const Arm& arm) {
  Json::Object kept;
  for (const auto& [key, value] : arm.resolved.at("model").as_object())
    if (key != "from" && key != "new_embeddings") kept.emplace_back(key, value);
  return model::model_config_from_json(Json(kept), (arm.run / "resolved.json").string());
}

int64_t seed_of(const Arm& arm) { return arm.resolved.at("train").at("seed").as_int(); }

const std::string& phase_name(const Arm& arm, size_t index) { return text_at(phases_of(arm).at(index), "name"); }
const std::string& last_phase(const Arm& arm) { return text_at(phases_of(arm).back(), "name"); }

int64_t step_before_phase(const Arm& arm, size_t index) {
  const auto& phases = phases_of(arm);
  int64_t last = 0;
  std::vector<std::pair<std::string, int64_t>> ends;
  for (size_t i = 0; i < index; ++i) {
    last += phases[i].at("steps").as_int();
    ends.emplace_back(text_at(phases[i], "name"), last);
  }
  const Json& start = phases[index].at("start");
  if (start.is_null()) return last;
  const std::string& from = text_at(start, "from");
  for (const auto& [name, end] : ends) {
    if (name != from && !(from.empty() && end == last)) continue;
    return text_at(start, "step") == "last" ? end : std::stoll(text_at(start, "step"));
  }
  return -1;
}

bool comes_from_elsewhere(const Arm& arm) {
  return find_value(arm.resolved.at("model"), "from") != nullptr || !phases_of(arm).at(0).at("start").is_null();
}

const record::EvaluationRow* first_evaluation(const Arm& arm) {
  return !arm.evaluations.empty() && arm.evaluations[0].step == 0 ? &arm.evaluations[0] : nullptr;
}

const record::EvaluationRow* final_evaluation(const Arm& arm, const std::string& phase, const std::string& data) {
  const auto is_of = [&](const record::EvaluationRow& row) {
    return row.phase == phase && row.step > 0 && (data.empty() || row.find(data) != nullptr);
  };
  const auto last = std::find_if(arm.evaluations.rbegin(), arm.evaluations.rend(), is_of);
  return last != arm.evaluations.rend() ? &*last : nullptr;
}

std::vector<const record::EvaluationRow*> final_evaluations(const Arm& arm) {
  std::vector<const record::EvaluationRow*> out;
  for (size_t i = 0; i < phases_of(arm).size(); ++i)
    if (const auto* last = final_evaluation(arm, phase_name(arm, i))) out.push_back(last);
  return out;
}

const record::SetResult* final_result(const Arm& arm, const std::string& phase, const std::string& data) {
  const auto* last = final_evaluation(arm, phase, data);
  return last != nullptr ? last->find(data) : nullptr;
}

const record::EvaluationRow* baseline_evaluation(const Arm& arm) {
  return comes_from_elsewhere(arm) ? first_evaluation(arm) : final_evaluation(arm, phase_name(arm, 0));
}

std::optional<std::string> baseline_name(const Arm& arm) {
  const auto* baseline = baseline_evaluation(arm);
  if (baseline == nullptr) return std::nullopt;
  return baseline->step == 0 ? kStepZero : baseline->phase;
}

std::optional<LossFigure> loss_at_end(const Arm& arm, const std::string& data) {
  const auto lines = final_evaluations(arm);
  const auto* result = lines.empty() ? nullptr : lines.back()->find(data);
  return result != nullptr ? std::optional(loss_figure(*result)) : std::nullopt;
}

}  // namespace evenkeel::train
