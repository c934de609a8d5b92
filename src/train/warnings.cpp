#include "train/warnings.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "core/errors.h"
#include "model/layout.h"
#include "train/eval_collapse.h"
#include "train/result_rows.h"

namespace evenkeel::train {
namespace {

// Where a collapse was found to be over.
struct Recovery {
  int64_t step = 0;
  std::string phase;
  bool operator==(const Recovery&) const = default;
};

// Of shrunk scores counts say nothing: they are over where a later phase, whose steps were looked at anew, has no alarm
// of them.
std::optional<Recovery> has_scores_by(const Arm& arm, const FoundAlarm& found) {
  bool is_later = false;
  for (size_t i = 0; i < arm.phases.size(); ++i) {
    const auto& name = phase_name(arm, i);
    if (is_later && arm.phases[i].n_steps() > 0 &&
        std::none_of(arm.alarms.begin(), arm.alarms.end(), [&](const FoundAlarm& other) {
          return other.phase == name && other.alarm.kind == found.alarm.kind && other.alarm.layer == found.alarm.layer;
        }))
      return Recovery{arm.phases[i].first_step(), name};
    is_later = is_later || name == found.phase;
  }
  return std::nullopt;
}

// The last results of a phase on the sets that an alarm concerns (of an evaluation: its own; of a step: all), as far as
// they come after it and have their routing, and the step of the latest.
struct PhaseEnd {
  std::vector<const record::SetResult*> results;
  int64_t step = 0;
};
PhaseEnd end_of(const Arm& arm, const std::string& phase, const FoundAlarm& found) {
  PhaseEnd out;
  for (const auto& evaluation : arm.evaluations) {
    if (evaluation.phase != phase || evaluation.step <= found.step) continue;
    for (const auto& [data, result] : evaluation.eval) {
      if (result.routing.empty() || (found.data && found.data != data)) continue;
      out.results.push_back(&result);
      out.step = evaluation.step;
    }
  }
  return out;
}

// The first end of a phase, be it the alarm's own or a later one, that shows the alarm's layer in use again; nullopt
// where none does. What comes after it is another event, with alarms of its own: so a phase that arms share has one
// verdict, whatever each of them trained later. The layer is in use where half of its experts or more get tokens, and
// the busiest one's share is nearer to an even load than to all tokens, on each set (of an alarm of an evaluation: on
// its own). The phase's last step, whose data no evaluation need have, has such a share too.
std::optional<Recovery> recovery_of(const Arm& arm, const FoundAlarm& found) {
  if (found.alarm.kind == record::Alarm::Kind::no_scores) return has_scores_by(arm, found);
  const auto config = arm_model(arm);
  const double uneven = (1 + model::experts_per_token(config) / static_cast<double>(config.n_experts)) / 2;
  const auto is_bad = [&](const record::LayerRouting& layer) {
    return layer.layer == found.alarm.layer && (layer.mri >= uneven || 2 * layer.dead > config.n_experts);
  };
  bool has_begun = false;
  for (size_t i = 0; i < arm.phases.size(); ++i) {
    const auto& name = phase_name(arm, i);
    has_begun = has_begun || name == found.phase;
    const auto end = has_begun ? end_of(arm, name, found) : PhaseEnd{};
    if (end.results.empty()) continue;
    const bool is_uneven_step =
        !found.data && arm.phases[i].last_mri(found.alarm.layer.value_or(0)).value_or(0) >= uneven;
    if (!is_uneven_step && std::none_of(end.results.begin(), end.results.end(), [&](const auto* result) {
          return std::any_of(result->routing.begin(), result->routing.end(), is_bad);
        }))
      return Recovery{end.step, name};
  }
  return std::nullopt;
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
  if (found.data) return true;
  const auto trained = std::find_if(arm.phases.rbegin(), arm.phases.rend(),
                                    [](const PhaseFigures& phase) { return phase.n_steps() > 0; });
  return trained == arm.phases.rend() ||
         trained->last_mri(found.alarm.layer.value_or(0)).value_or(0) < record::Alarm::kNearlyAll;
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

// A collapse in one run. Arms that share a phase, which was trained once, have its events in common.
struct Event {
  const Arm* arm = nullptr;
  const FoundAlarm* found = nullptr;
  std::optional<Recovery> recovery;
  bool is_past_its_worst = false;
  int64_t layer() const { return found->alarm.layer.value_or(0); }
  bool is_shared_with(const Event& other) const {
    const auto all = [](const Event& one) {
      const auto& [step, phase, seconds, loss, alarm, data] = *one.found;
      return std::tie(step, phase, seconds, loss, alarm, data, one.is_past_its_worst);
    };
    return all(*this) == all(other) && recovery == other.recovery;
  }
};

// Where runs collapsed in a phase: in training (no `data`) or on a held-out set.
struct Place {
  std::string phase;
  std::optional<std::string> data, recovered_in;  // recovered_in: a phase
  bool is_like(const Place& other) const {
    return phase == other.phase && data == other.data && recovered_in == other.recovered_in;
  }
  struct InRun {
    std::set<int64_t> layers, first_steps;  // first_steps: of the layers
    int64_t recovered_by = 0;
  };
  std::map<std::string, InRun> runs;  // by name
};

// What one sentence tells: of one group, or of a phase that several share.
struct Collapse {
  std::vector<std::string> groups;
  std::string phase;  // of several groups; else empty
  std::vector<Place> lasting, over;
  std::vector<std::string> lasting_texts, worst_texts, over_texts;
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
      if (row.n_recovered && recovery_of(arm, found)) ++*row.n_recovered;
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

std::vector<std::string> collapsed_on(const Arm& arm, const std::string& data) {
  std::vector<std::string> out;
  for (const auto& found : arm.alarms) {
    if (!found.alarm.is_collapse() || (found.data && found.data != data) || recovery_of(arm, found)) continue;
    const std::string place = found.data ? "held-out " + *found.data : "training batches";
    if (std::find(out.begin(), out.end(), place) == out.end()) out.push_back(place);
  }
  return out;
}

namespace {

// In order of appearance. What lasts from one phase to the next stands once.
std::vector<Event> events_of(const std::vector<Arm>& arms, Collapses which) {
  std::vector<Event> out;
  for (const auto& arm : arms) {
    std::set<std::tuple<record::Alarm::Kind, std::string, int64_t>> lasting;  // kind, set, layer
    for (const auto& found : arm.alarms) {
      if (!found.alarm.is_collapse()) continue;
      Event event{&arm, &found, recovery_of(arm, found), false};
      if (which != Collapses::all && event.recovery.has_value() != (which == Collapses::recovered)) continue;
      event.is_past_its_worst = !event.recovery && is_past_its_worst(arm, found);
      if (event.recovery || lasting.emplace(found.alarm.kind, found.data.value_or(""), event.layer()).second)
        out.push_back(std::move(event));
    }
  }
  return out;
}

// The groups whose runs have the event, in order of appearance.
std::vector<std::string> groups_with(const Event& event, const std::vector<Event>& events) {
  std::vector<std::string> out;
  for (const auto& other : events)
    if (event.is_shared_with(other) && std::find(out.begin(), out.end(), other.arm->group) == out.end())
      out.push_back(other.arm->group);
  return out;
}

void add_once(std::vector<std::string>& texts, const std::string& text) {
  if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(text);
}

void add_event(Collapse& collapse, const Event& event) {
  const auto& [step, phase, seconds, loss, alarm, data] = *event.found;
  std::vector<Place>& places = event.recovery ? collapse.over : collapse.lasting;
  Place place{phase, data, event.recovery ? std::optional(event.recovery->phase) : std::nullopt, {}};
  auto entry = std::find_if(places.begin(), places.end(), [&](const Place& known) { return known.is_like(place); });
  if (entry == places.end()) entry = places.insert(places.end(), std::move(place));
  auto& run = entry->runs[event.arm->name];
  if (run.layers.insert(event.layer()).second) run.first_steps.insert(step);
  if (event.recovery) run.recovered_by = std::max(run.recovered_by, event.recovery->step);
  if (event.recovery || event.is_past_its_worst) {
    add_once(event.recovery ? collapse.over_texts : collapse.worst_texts, in_the_past(alarm.text));
  } else {
    add_once(collapse.lasting_texts, alarm.text.substr(0, alarm.text.find(';')));
  }
}

std::vector<Collapse> collapses_of(const std::vector<Arm>& arms, Collapses which) {
  const auto events = events_of(arms, which);
  std::vector<Collapse> out;
  for (const auto& event : events) {
    const auto groups = groups_with(event, events);
    if (groups[0] != event.arm->group) continue;  // told with the first of them
    const std::string phase = groups.size() > 1 ? event.found->phase : "";
    auto entry = std::find_if(out.begin(), out.end(),
                              [&](const Collapse& known) { return known.groups == groups && known.phase == phase; });
    if (entry == out.end()) entry = out.insert(out.end(), Collapse{groups, phase, {}, {}, {}, {}, {}});
    add_event(*entry, event);
  }
  std::stable_partition(out.begin(), out.end(), [](const Collapse& one) { return !one.lasting.empty(); });
  return out;
}

// "in phase two, layers 0, 1, on held-out a, since the evaluation of step 8 at the earliest, in 2 of 3 seeds".
std::string place_words(const Place& place, size_t n_runs) {
  const auto& first = place.runs.begin()->second;
  std::set<int64_t> layers, steps;
  int64_t recovered_by = 0;
  bool agrees = true;
  for (const auto& [name, run] : place.runs) {
    layers.insert(run.layers.begin(), run.layers.end());
    steps.insert(run.first_steps.begin(), run.first_steps.end());
    recovered_by = std::max(recovered_by, run.recovered_by);
    agrees = agrees && run.layers == first.layers;
  }
  std::string out =
      "in phase " + place.phase + ", " + layer_words(layers) + (agrees ? "" : " (not all of them in each seed)");
  if (place.data) out += ", on held-out " + *place.data;
  out += std::string(place.recovered_in ? ", from " : ", since ") + (place.data ? "the evaluation of step " : "step ") +
         std::to_string(*steps.begin()) + (steps.size() == 1 ? "" : " at the earliest");
  if (place.recovered_in == place.phase) out += " to step " + std::to_string(recovered_by) + " at the latest";
  if (place.recovered_in && place.recovered_in != place.phase)
    out += " to the end of the phase, but no more by step " + std::to_string(recovered_by) + " of phase " +
           *place.recovered_in;
  if (n_runs > 1) out += ", in " + std::to_string(place.runs.size()) + " of " + std::to_string(n_runs) + " seeds";
  return out;
}

// "first; second: one text, or another".
std::string places_words(const std::vector<Place>& places, size_t n_runs) {
  std::string out;
  for (const auto& place : places) out += (out.empty() ? "" : "; ") + place_words(place, n_runs);
  return out;
}
std::string texts_words(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : ", or ") + text;
  return out;
}

// "moe: the router has collapsed in phase two, layer 1, since step 8, in 2 of 3 seeds: nearly all tokens have ...; it
// was collapsed in phase one, layer 1, from step 2 to step 6 at the latest: nearly all tokens had ....". Of a phase
// that arms share "moe, moe-r25, which share phase one: the router was ...".
std::string sentence_of(const Collapse& collapse, size_t n_runs) {
  std::string out;
  for (const auto& group : collapse.groups) add_to_list(out, group);
  if (!collapse.phase.empty()) out += ", which share phase " + collapse.phase;
  out += ": ";
  if (!collapse.lasting.empty()) {
    out += "the router has collapsed " + places_words(collapse.lasting, n_runs) + ": " +
           texts_words(collapse.lasting_texts);
    if (!collapse.worst_texts.empty())
      out += (collapse.lasting_texts.empty() ? "at its worst " : "; at its worst ") + texts_words(collapse.worst_texts);
  }
  if (!collapse.over.empty())
    out += (collapse.lasting.empty() ? "the router was collapsed " : "; it was collapsed ") +
           places_words(collapse.over, n_runs) + ": " + texts_words(collapse.over_texts);
  return out + ".";
}

}  // namespace

std::vector<std::string> collapse_headlines(const std::vector<Arm>& arms, Collapses which) {
  std::map<std::string, size_t> n_runs;
  for (const auto& arm : arms) ++n_runs[arm.group];
  std::vector<std::string> out;
  for (const auto& collapse : collapses_of(arms, which))
    out.push_back(sentence_of(collapse, n_runs.at(collapse.groups[0])));
  return out;
}

}  // namespace evenkeel::train
