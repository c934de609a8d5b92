#include "train/warnings.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "model/layout.h"
#include "train/diagnose.h"
#include "train/shift_sets.h"

namespace evenkeel::train {
namespace {

const std::string& last_phase(const Arm& arm) { return arm.resolved.at("phase").as_array().back().at("name").as_string(); }

// Calls visit(step's line, alarm) for each alarm of the run.
template <class Visit>
void for_each_alarm(const Arm& arm, const Visit& visit) {
  for (const auto& step : arm.steps)
    if (const Json* alarms = step.find("alarms"))
      for (const auto& alarm : alarms->as_array()) visit(step, alarm);
}

// The routing of the last evaluation on a set in the last phase; nullptr where there is none.
const Json* last_routing(const Arm& arm, const std::string& data) {
  const Json* out = nullptr;
  for (const auto& line : arm.evaluations) {
    const Json* result = line.at("phase").as_string() == last_phase(arm) ? line.at("eval").find(data) : nullptr;
    if (result != nullptr) out = &result->at("routing");
  }
  return out;
}

// Whether the alarm's layer is in use again in the end. The run's last evaluation, after the step, says so on every set: half of its experts
// or more get tokens, and the busiest one's share is nearer to an even load than to all tokens. The last step, whose data no evaluation need
// have, has such a share too. Of shrunk scores counts say nothing.
bool has_recovered(const Arm& arm, const Json& step, const Json& alarm) {
  if (arm.evaluations.empty() || alarm.at("kind").as_string() == "no_scores") return false;
  const Json& last = arm.evaluations.back();
  if (last.at("step").as_int() <= step.at("step").as_int()) return false;
  const auto config = arm_model(arm);
  const int64_t n_experts = config.n_experts;
  const double even_load = model::experts_per_token(config) / static_cast<double>(n_experts);
  const auto is_uneven = [&](const Json& layer) { return layer.at("layer") == alarm.at("layer") && layer.at("mri").as_double() >= (1 + even_load) / 2; };
  for (const auto& [data, result] : last.at("eval").as_object())
    for (const auto& layer : result.at("routing").as_array())
      if (is_uneven(layer) || (layer.at("layer") == alarm.at("layer") && 2 * layer.at("dead").as_int() > n_experts)) return false;
  const Json* trained = arm.steps.empty() ? nullptr : arm.steps.back().find("routing");
  return trained == nullptr || std::none_of(trained->as_array().begin(), trained->as_array().end(), is_uneven);
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
  int64_t first_step = 0;
  bool has_recovered = false;
  std::set<int64_t> layers;
  std::set<std::string> runs;
};

}  // namespace

void add_warning_rows(const std::vector<Arm>& arms, Table& table) {
  const size_t recovered = table.column("recovered"), n_arms = table.column("n_arms");
  std::map<std::string, size_t> known;  // rows, by the step's line: arms that share a phase have its lines, the clock's figures among them
  for (const auto& arm : arms)
    for_each_alarm(arm, [&](const Json& step, const Json& alarm) {
      const Json is_over = is_collapse_kind(alarm.at("kind").as_string()) ? Json(has_recovered(arm, step, alarm)) : Json();
      const auto [entry, is_new] = known.emplace(step.dump() + alarm.dump(), table.rows.size());
      if (is_new) {
        table.add_row({arm.name, step.at("phase"), step.at("step"), alarm.at("layer"), alarm.at("kind"), alarm.at("text"), is_over, 1});
        return;
      }
      auto& row = table.rows[entry->second];
      row[n_arms] = row[n_arms].as_int() + 1;
      if (is_over == Json(false)) row[recovered] = is_over;
    });
}

std::optional<ExpertUse> expert_use(const Arm& arm, const std::string& data) {
  const Json* routing = last_routing(arm, data);
  if (routing == nullptr || routing->size() == 0) return std::nullopt;
  const int64_t n_experts = arm.resolved.at("model").at("n_experts").as_int();
  ExpertUse out;
  for (const auto& layer : routing->as_array()) {
    const int64_t in_use = n_experts - layer.at("dead").as_int();
    out.in_use += in_use;
    out.all += n_experts;
    out.is_rare_in_a_layer = out.is_rare_in_a_layer || 2 * in_use < n_experts;
  }
  return out;
}

bool has_collapsed(const Arm& arm, const std::string& data) {
  bool found = false;
  for_each_alarm(arm, [&](const Json& step, const Json& alarm) {
    found = found || (step.at("phase").as_string() == last_phase(arm) && is_collapse_kind(alarm.at("kind").as_string()) && !has_recovered(arm, step, alarm));
  });
  const auto use = expert_use(arm, data);
  return found || (use && use->is_rare_in_a_layer);
}

std::vector<std::string> collapse_headlines(const std::vector<Arm>& arms) {
  using Key = std::tuple<std::string, std::string, bool>;  // group, text, whether the router has recovered
  std::vector<std::pair<Key, GroupCollapse>> found;        // in order of appearance
  std::map<std::string, size_t> n_runs;
  for (const auto& arm : arms) {
    ++n_runs[arm.group];
    for_each_alarm(arm, [&](const Json& step, const Json& alarm) {
      if (step.at("phase").as_string() != last_phase(arm) || !is_collapse_kind(alarm.at("kind").as_string())) return;
      const Key key(arm.group, alarm.at("text").as_string(), has_recovered(arm, step, alarm));
      auto entry = std::find_if(found.begin(), found.end(), [&](const auto& known) { return known.first == key; });
      if (entry == found.end()) entry = found.emplace(found.end(), key, GroupCollapse{last_phase(arm), step.at("step").as_int(), std::get<bool>(key), {}, {}});
      entry->second.first_step = std::min(entry->second.first_step, step.at("step").as_int());
      entry->second.layers.insert(alarm.at("layer").as_int());
      entry->second.runs.insert(arm.name);
    });
  }
  std::map<std::string, std::set<std::string>> unused;  // groups and their runs of which a layer has most experts without a token, and no check told of a collapse
  for (const auto& arm : arms) {
    const bool is_said = std::any_of(found.begin(), found.end(), [&](const auto& entry) { return entry.second.runs.contains(arm.name) && !entry.second.has_recovered; });
    if (!is_said && has_collapsed(arm, shift_sets(arm).new_data)) unused[arm.group].insert(arm.name);
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.second.has_recovered < b.second.has_recovered; });
  std::vector<std::string> out;
  const auto in_runs = [&](const std::string& group, size_t n) { return n_runs.at(group) > 1 ? ", in " + std::to_string(n) + " of " + std::to_string(n_runs.at(group)) + " seeds" : ""; };
  for (const auto& [group, runs] : unused) out.push_back(group + ": the router has collapsed" + in_runs(group, runs.size()) + ": in the end more than half of a layer's experts get no token of the new data's held-out text.");
  for (const auto& [key, collapse] : found) {
    const auto& [group, text, recovered] = key;
    const std::string runs = in_runs(group, collapse.runs.size());
    out.push_back(group + ": the router collapsed in phase " + collapse.phase + ", " + layer_words(collapse.layers) + (recovered ? ", for a time after step " : ", from step ") + std::to_string(collapse.first_step) + runs + (recovered ? ", and has recovered at the last evaluation: " : ": ") + text + ".");
  }
  return out;
}

}  // namespace evenkeel::train
