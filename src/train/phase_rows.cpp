#include "train/phase_rows.h"

#include "core/json_value.h"
#include "train/objective_words.h"

namespace evenkeel::train {
namespace {

// Of the sequences that a phase has drawn, the share that was replayed.
std::optional<double> replayed_share(const PhaseFigures& phase) {
  int64_t replayed = 0, all = 0;
  for (const auto& [source, count] : phase.drawn()) {
    all += count;
    replayed += source.starts_with("replay/") ? count : 0;
  }
  return all > 0 ? std::optional(static_cast<double>(replayed) / static_cast<double>(all)) : std::nullopt;
}

}  // namespace

std::vector<PhaseRow> phase_rows(const Arm& arm) {
  std::vector<PhaseRow> out;
  const PhaseFigures none;  // before the run's first line
  for (size_t i = 0; i < arm.resolved.at("phase").size(); ++i) {
    const Json& phase = arm.resolved.at("phase").at(i);
    const PhaseFigures& done = i < arm.phases.size() ? arm.phases[i] : none;
    PhaseRow row;
    row.name = phase.at("name").as_string();
    row.steps = done.n_steps();
    row.tokens = phase.at("tokens").as_int() / phase.at("steps").as_int() * done.n_steps();
    row.seconds = done.seconds();
    row.replayed = replayed_share(done);
    row.objective = objective_words(arm.resolved.at("phase"), i);
    row.scored_share = done.scored_share();
    row.padding_share = done.padding_share();
    if (done.n_steps() > 0) {
      row.first_step = done.first_step();
      row.last_step = done.last_step();
    }
    out.push_back(std::move(row));
  }
  return out;
}

std::string objective_of_set(const Arm& arm, const std::string& set) {
  const Json sets = objectives_of_sets(arm);
  const Json* found = sets.find(set);
  return found != nullptr ? found->as_string() : "causal";
}

Json objectives_of_sets(const Arm& arm) {
  Json out = Json::object();
  for (const auto& phase : arm.resolved.at("phase").as_array()) {
    const Json* eval = find_value(phase, "eval");
    if (eval == nullptr) continue;
    for (const auto& source : eval->at("data").as_array()) {
      const std::string& name = source.at("name").as_string();
      out[name] = eval_objective(phase, name);
    }
  }
  return out;
}

std::string words_unless_causal(const std::string& objective) {
  return objective == "causal" ? "" : " (scored by " + objective + ")";
}

}  // namespace evenkeel::train
