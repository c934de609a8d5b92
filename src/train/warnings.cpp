#include "train/warnings.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "model/layout.h"
#include "train/eval_collapse.h"
#include "train/result_rows.h"

namespace evenkeel::train {
namespace {

// The first step of the phase after the one that has a step; 0 where the run has none.
int64_t next_phase_begins(const Arm& arm, const std::string& phase) {
  for (size_t i = 0; i + 1 < arm.phases.size(); ++i)
    if (phase_name(arm, i) == phase) return arm.phases[i + 1].first_step();
  return 0;
}

// Of shrunk scores counts say nothing: they are over where a later phase, whose steps were looked at anew, has no alarm
// of them.
std::optional<int64_t> has_scores_by(const Arm& arm, const FoundAlarm& found) {
  const bool is_later = !arm.phases.empty() && arm.phases.back().n_steps() > 0 && found.phase != last_phase(arm);
  const bool is_over = is_later && std::none_of(arm.alarms.begin(), arm.alarms.end(), [&](const FoundAlarm& other) {
                         return other.step > found.step && other.alarm.kind == found.alarm.kind &&
                                other.alarm.layer == found.alarm.layer;
                       });
  return is_over ? std::optional(next_phase_begins(arm, found.phase)) : std::nullopt;
}

// The step at which the alarm's layer is known to be in use again; nullopt where it is not so in the end. The run's
// last evaluation, after the step, says so on every set (of an alarm of an evaluation: on its own): half of its experts
// or more get tokens, and the busiest one's share is nearer to an even load than to all tokens. The last step, whose
// data no evaluation need have, has such a share too. From the step on all evaluations whose routing is kept agree.
std::optional<int64_t> recovered_by(const Arm& arm, const FoundAlarm& found) {
  if (found.alarm.kind == record::Alarm::Kind::no_scores) return has_scores_by(arm, found);
  if (arm.evaluations.empty()) return std::nullopt;
  const auto& last = arm.evaluations.back();
  if (last.step <= found.step || (found.data && last.find(*found.data) == nullptr)) return std::nullopt;
  const auto config = arm_model(arm);
  const int64_t n_experts = config.n_experts;
  const double even_load = model::experts_per_token(config) / static_cast<double>(n_experts);
  const auto is_uneven = [&](const record::LayerRouting& layer) {
    return layer.layer == found.alarm.layer && layer.mri >= (1 + even_load) / 2;
  };
  if (!found.data && std::any_of(arm.last_routing.begin(), arm.last_routing.end(), is_uneven)) return std::nullopt;
  std::optional<int64_t> out;
  for (auto evaluation = arm.evaluations.rbegin(); evaluation != arm.evaluations.rend(); ++evaluation) {
    if (evaluation->step <= found.step) break;
    bool has_routing = evaluation->step == last.step;
    for (const auto& [data, result] : evaluation->eval) {
      if (found.data && found.data != data) continue;
      has_routing = has_routing || !result.routing.empty();
      for (const auto& layer : result.routing)
        if (is_uneven(layer) || (layer.layer == found.alarm.layer && 2 * layer.dead > n_experts)) return out;
    }
    if (has_routing) out = evaluation->step;
  }
  return out;
}

// Whether the run's last evaluation or step, after the alarm's, shows the layer less uneven than the alarm's bound.
bool is_past_its_worst(const Arm& arm, const FoundAlarm& found) {
  if (found.alarm.kind == record::Alarm::Kind::no_scores || arm.evaluations.empty()) return false;
  const auto& last = arm.evaluations.back();
  if (last.step <= found.step || (found.data && last.find(*found.data) == nullptr)) return false;
  const auto& model = arm.resolved.at("model");
  for (const auto& [data, result] : last.eval) {
    if (found.data && found.data != data) continue;
    for (const auto& alarm : find_eval_collapse(result, model.at("n_experts").as_int(), model.at("top_k").as_int()))
      if (alarm.layer == found.alarm.layer) return false;
  }
  return found.data || std::none_of(arm.last_routing.begin(), arm.last_routing.end(), [&](const auto& layer) {
           return layer.layer == found.alarm.layer && layer.mri >= record::Alarm::kNearlyAll;
         });
}

// "nearly all tokens had the same 2 of 4 experts" of an alarm's text, without what follows from it and is to be done.
std::string in_the_past(std::string text) {
  text = text.substr(0, text.find(';'));
  for (const auto& [now, then] : {std::pair(" have ", " had "), std::pair(" get ", " got ")})
    if (const auto place = text.find(now); place != std::string::npos)
      text.replace(place, std::string(now).size(), then);
  return text;
}

// "layer 1", "layers 0, 2".
std::string layer_words(const std::set<int64_t>& layers) {
  std::string out = layers.size() == 1 ? "layer " : "layers ";
  for (const int64_t layer : layers) out += (layer == *layers.begin() ? "" : ", ") + std::to_string(layer);
  return out;
}

// What runs of one group collapsed to, in one way, in one phase.
struct GroupCollapse {
  std::string group, phase, text;
  std::optional<std::string> data;  // of FoundAlarm
  enum class Stage { lasts, is_past_its_worst, has_recovered } stage = Stage::lasts;
  bool is_like(const GroupCollapse& other) const {
    const auto all = [](const GroupCollapse& one) {
      return std::tie(one.group, one.phase, one.text, one.data, one.stage);
    };
    return all(*this) == all(other);
  }
  // Of one run.
  struct InRun {
    int64_t first_step = 0, recovered_by = 0;
    std::set<int64_t> layers;
  };
  std::map<std::string, InRun> runs;  // by name
  std::set<int64_t> layers() const {
    std::set<int64_t> out;
    for (const auto& [name, run] : runs) out.insert(run.layers.begin(), run.layers.end());
    return out;
  }
  int64_t first_step() const {
    int64_t out = runs.begin()->second.first_step;
    for (const auto& [name, run] : runs) out = std::min(out, run.first_step);
    return out;
  }
  int64_t recovered_by() const {
    int64_t out = 0;
    for (const auto& [name, run] : runs) out = std::max(out, run.recovered_by);
    return out;
  }
  bool has_recovered() const { return stage == Stage::has_recovered; }
  // Whether all runs agree in a figure.
  template <class Figure>
  bool agrees_in(Figure InRun::*figure) const {
    return std::all_of(runs.begin(), runs.end(),
                       [&](const auto& entry) { return entry.second.*figure == runs.begin()->second.*figure; });
  }
};

}  // namespace

void add_warning_rows(const std::vector<Arm>& arms, Table& table) {
  // Arms that share a phase have its lines, the clock's figures among them.
  using Key = std::tuple<int64_t, std::string, double, double, record::Alarm, std::optional<std::string>>;
  std::map<Key, size_t> known;
  std::vector<WarningRow> rows;
  for (const auto& arm : arms)
    for (const auto& found : arm.alarms) {
      const auto& [step, phase, seconds, loss, alarm, data] = found;
      const auto [entry, is_new] = known.emplace(Key(step, phase, seconds, loss, alarm, data), rows.size());
      if (is_new) {
        rows.push_back({.arm = arm.name,
                        .phase = phase,
                        .step = step,
                        .layer = alarm.layer,
                        .kind = alarm.kind,
                        .what = alarm.text,
                        .n_arms = 0,
                        .data = data});
        if (alarm.is_collapse()) rows.back().n_recovered = 0;
      }
      WarningRow& row = rows[entry->second];
      ++row.n_arms;
      if (row.n_recovered && recovered_by(arm, found)) ++*row.n_recovered;
    }
  for (auto& row : rows) {
    if (row.n_recovered) row.recovered = row.n_recovered == row.n_arms;
    add_row(table, row);
  }
}

std::optional<ExpertUse> expert_use(const Arm& arm, const std::string& data) {
  const auto* result = final_result(arm, last_phase(arm), data);
  if (result == nullptr || result->routing.empty()) return std::nullopt;
  const int64_t n_experts = arm.resolved.at("model").at("n_experts").as_int();
  ExpertUse out;
  for (const auto& layer : result->routing) {
    out.in_use += n_experts - layer.dead;
    out.all += n_experts;
  }
  return out;
}

bool has_collapsed(const Arm& arm, const std::string& data) {
  return std::any_of(arm.alarms.begin(), arm.alarms.end(), [&](const FoundAlarm& found) {
    return found.alarm.is_collapse() && (!found.data || found.data == data) && !recovered_by(arm, found);
  });
}

namespace {

// The collapses of the runs of each group, in order of appearance. What lasts from one phase to the next stands once.
std::vector<GroupCollapse> collapses_of(const std::vector<Arm>& arms) {
  std::vector<GroupCollapse> out;
  for (const auto& arm : arms) {
    std::set<std::tuple<std::string, std::string, int64_t>> lasting;  // text, set, layer
    for (const auto& found : arm.alarms) {
      if (!found.alarm.is_collapse()) continue;
      const int64_t layer = found.alarm.layer.value_or(0);
      const auto recovered = recovered_by(arm, found);
      using Stage = GroupCollapse::Stage;
      const Stage stage = recovered                       ? Stage::has_recovered
                          : is_past_its_worst(arm, found) ? Stage::is_past_its_worst
                                                          : Stage::lasts;
      GroupCollapse one{arm.group, found.phase, found.alarm.text, found.data, stage, {}};
      if (!recovered && !lasting.emplace(one.text, one.data.value_or(""), layer).second) continue;
      auto entry = std::find_if(out.begin(), out.end(), [&](const auto& known) { return known.is_like(one); });
      if (entry == out.end()) entry = out.insert(out.end(), std::move(one));
      auto& run = entry->runs.try_emplace(arm.name, GroupCollapse::InRun{found.step, 0, {}}).first->second;
      run.first_step = std::min(run.first_step, found.step);
      run.recovered_by = std::max(run.recovered_by, recovered.value_or(0));
      run.layers.insert(layer);
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.stage < b.stage; });
  return out;
}

// "moe: the router has collapsed in phase two, layer 1, since step 8, in 2 of 3 seeds: nearly all tokens have ....", or
// "moe: the router was collapsed in phase one, layer 1, from step 2 to step 6 at the latest: nearly all tokens had
// ...."
std::string sentence_of(const GroupCollapse& collapse, size_t n_runs) {
  const bool agrees = collapse.agrees_in(&GroupCollapse::InRun::first_step), is_over = collapse.has_recovered();
  std::string out = collapse.group + ": the router " + (is_over ? "was" : "has") + " collapsed in phase " +
                    collapse.phase + ", " + layer_words(collapse.layers()) +
                    (collapse.agrees_in(&GroupCollapse::InRun::layers) ? "" : " (not all of them in each seed)");
  if (collapse.data) out += ", on held-out " + *collapse.data;
  out += std::string(is_over ? ", from " : ", since ") + (collapse.data ? "the evaluation of step " : "step ") +
         std::to_string(collapse.first_step()) + (agrees ? "" : " at the earliest");
  if (is_over) out += " to step " + std::to_string(collapse.recovered_by()) + " at the latest";
  if (n_runs > 1) out += ", in " + std::to_string(collapse.runs.size()) + " of " + std::to_string(n_runs) + " seeds";
  if (collapse.stage == GroupCollapse::Stage::lasts) return out + ": " + collapse.text + ".";
  return out + (is_over ? ": " : ": at its worst ") + in_the_past(collapse.text) + ".";
}

}  // namespace

std::vector<std::string> collapse_headlines(const std::vector<Arm>& arms, Collapses which) {
  std::map<std::string, size_t> n_runs;
  for (const auto& arm : arms) ++n_runs[arm.group];
  std::vector<std::string> out;
  for (const auto& collapse : collapses_of(arms))
    if (which == Collapses::all || collapse.has_recovered() == (which == Collapses::recovered))
      out.push_back(sentence_of(collapse, n_runs.at(collapse.group)));
  return out;
}

}  // namespace evenkeel::train
