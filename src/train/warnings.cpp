#include "train/warnings.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "model/layout.h"
#include "train/result_rows.h"
#include "train/shift_sets.h"

namespace evenkeel::train {
namespace {

// Whether the alarm's layer is in use again in the end. The run's last evaluation, after the step, says so on every
// set: half of its experts or more get tokens, and the busiest one's share is nearer to an even load than to all
// tokens. The last step, whose data no evaluation need have, has such a share too. Of shrunk scores counts say nothing.
bool has_recovered(const Arm& arm, const FoundAlarm& found) {
  if (arm.evaluations.empty() || found.alarm.kind == record::Alarm::Kind::no_scores) return false;
  const auto& last = arm.evaluations.back();
  if (last.step <= found.step) return false;
  const auto config = arm_model(arm);
  const int64_t n_experts = config.n_experts;
  const double even_load = model::experts_per_token(config) / static_cast<double>(n_experts);
  const auto is_uneven = [&](const record::LayerRouting& layer) {
    return layer.layer == found.alarm.layer && layer.mri >= (1 + even_load) / 2;
  };
  for (const auto& [data, result] : last.eval)
    for (const auto& layer : result.routing)
      if (is_uneven(layer) || (layer.layer == found.alarm.layer && 2 * layer.dead > n_experts)) return false;
  return std::none_of(arm.last_routing.begin(), arm.last_routing.end(), is_uneven);
}

// "layer 1", "layers 0, 2".
std::string layer_words(const std::set<int64_t>& layers) {
  std::string out = layers.size() == 1 ? "layer " : "layers ";
  for (const int64_t layer : layers) out += (layer == *layers.begin() ? "" : ", ") + std::to_string(layer);
  return out;
}

// What runs of one group collapsed to in their last phase, in one way.
struct GroupCollapse {
  std::string phase;
  bool has_recovered = false;
  // Of one run.
  struct InRun {
    int64_t first_step = 0;
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
  // Whether all runs agree in a figure.
  template <class Figure>
  bool agrees_in(Figure InRun::*figure) const {
    return std::all_of(runs.begin(), runs.end(),
                       [&](const auto& entry) { return entry.second.*figure == runs.begin()->second.*figure; });
  }
};

}  // namespace

void add_warning_rows(const std::vector<Arm>& arms, Table& table) {
  using Key = std::tuple<int64_t, std::string, double, double,
                         record::Alarm>;  // arms that share a phase have its lines, the clock's figures among them
  std::map<Key, size_t> known;
  std::vector<WarningRow> rows;
  for (const auto& arm : arms)
    for (const auto& found : arm.alarms) {
      const auto is_over = found.alarm.is_collapse() ? std::optional(has_recovered(arm, found)) : std::nullopt;
      const auto [entry, is_new] =
          known.emplace(Key(found.step, found.phase, found.seconds, found.loss, found.alarm), rows.size());
      if (is_new) {
        rows.push_back(
            {arm.name, found.phase, found.step, found.alarm.layer, found.alarm.kind, found.alarm.text, is_over, 1});
        continue;
      }
      WarningRow& row = rows[entry->second];
      ++row.n_arms;
      if (is_over == false) row.recovered = is_over;
    }
  for (const auto& row : rows) add_row(table, row);
}

std::optional<ExpertUse> expert_use(const Arm& arm, const std::string& data) {
  const auto* result = final_result(arm, last_phase(arm), data);
  if (result == nullptr || result->routing.empty()) return std::nullopt;
  const int64_t n_experts = arm.resolved.at("model").at("n_experts").as_int();
  ExpertUse out;
  for (const auto& layer : result->routing) {
    const int64_t in_use = n_experts - layer.dead;
    out.in_use += in_use;
    out.all += n_experts;
    out.is_rare_in_a_layer = out.is_rare_in_a_layer || 2 * in_use < n_experts;
  }
  return out;
}

bool has_collapsed(const Arm& arm, const std::string& data) {
  const bool found_one = std::any_of(arm.alarms.begin(), arm.alarms.end(), [&](const FoundAlarm& found) {
    return found.phase == last_phase(arm) && found.alarm.is_collapse() && !has_recovered(arm, found);
  });
  const auto use = expert_use(arm, data);
  return found_one || (use && use->is_rare_in_a_layer);
}

std::vector<std::string> collapse_headlines(const std::vector<Arm>& arms) {
  using Key = std::tuple<std::string, std::string, bool>;  // group, text, whether the router has recovered
  std::vector<std::pair<Key, GroupCollapse>> found;        // in order of appearance
  std::map<std::string, size_t> n_runs;
  for (const auto& arm : arms) {
    ++n_runs[arm.group];
    for (const auto& [step, phase, seconds, loss, alarm] : arm.alarms) {
      if (phase != last_phase(arm) || !alarm.is_collapse()) continue;
      const Key key(arm.group, alarm.text, has_recovered(arm, {step, phase, seconds, loss, alarm}));
      auto entry = std::find_if(found.begin(), found.end(), [&](const auto& known) { return known.first == key; });
      if (entry == found.end()) entry = found.emplace(found.end(), key, GroupCollapse{phase, std::get<bool>(key), {}});
      auto& run = entry->second.runs.try_emplace(arm.name, GroupCollapse::InRun{step, {}}).first->second;
      run.first_step = std::min(run.first_step, step);
      run.layers.insert(alarm.layer.value_or(0));
    }
  }
  std::map<std::string, std::set<std::string>> unused;  // groups and their runs of which a layer has most experts
                                                        // without a token, and no check told of a collapse
  for (const auto& arm : arms) {
    const bool is_said = std::any_of(found.begin(), found.end(), [&](const auto& entry) {
      return entry.second.runs.contains(arm.name) && !entry.second.has_recovered;
    });
    if (!is_said && has_collapsed(arm, shift_sets(arm).new_data)) unused[arm.group].insert(arm.name);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.second.has_recovered < b.second.has_recovered; });
  std::vector<std::string> out;
  const auto in_runs = [&](const std::string& group, size_t n) {
    return n_runs.at(group) > 1 ? ", in " + std::to_string(n) + " of " + std::to_string(n_runs.at(group)) + " seeds"
                                : "";
  };
  for (const auto& [group, runs] : unused)
    out.push_back(group + ": the router has collapsed" + in_runs(group, runs.size()) +
                  ": in the end more than half of a layer's experts get no token of the new data's held-out text.");
  for (const auto& [key, collapse] : found) {
    const auto& [group, text, recovered] = key;
    const std::string runs = in_runs(group, collapse.runs.size());
    out.push_back(group + ": the router collapsed in phase " + collapse.phase + ", " + layer_words(collapse.layers()) +
                  (collapse.agrees_in(&GroupCollapse::InRun::layers) ? "" : " (not all of them in each seed)") +
                  (recovered ? ", for a time after step " : ", from step ") + std::to_string(collapse.first_step()) +
                  (collapse.agrees_in(&GroupCollapse::InRun::first_step) ? "" : " at the earliest") + runs +
                  (recovered ? ", and has recovered at the last evaluation: " : ": ") + text + ".");
  }
  return out;
}

}  // namespace evenkeel::train
