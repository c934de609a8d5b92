// The study's answers in words, from its tables. Each sentence compares figures that stand in a table.
#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <map>
#include <set>
#include <tuple>

#include "study/comparison.h"
#include "study/tables.h"

namespace evenkeel::study {
namespace {

using train::Arm;

std::string format(const char* pattern, ...) {
  char buffer[512];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(buffer, sizeof buffer, pattern, arguments);
  va_end(arguments);
  return buffer;
}

// Means over the arms of a group.
class Means {
 public:
  void add(const std::string& group, double value) {
    auto& [sum, n] = values_[group];
    sum += value;
    ++n;
  }
  const double* find(const std::string& group) {
    const auto entry = values_.find(group);
    if (entry == values_.end()) return nullptr;
    return &(means_[group] = entry->second.first / static_cast<double>(entry->second.second));
  }

 private:
  std::map<std::string, std::pair<double, int64_t>> values_;
  std::map<std::string, double> means_;
};

struct Group {
  std::string name;
  bool is_dense = false, has_replay = false;  // has_replay: in any phase
  double replay_fraction = 0;                 // of the last phase
  double flops_per_token = 0;
  std::string old_data, new_data;
  std::string recipe, budget;  // of recipe_without_replay and budget_of
  std::set<int64_t> seeds;
  bool shifts = false;
};

const Json& data_of(const Arm& arm, bool last) {
  const auto& phases = arm.resolved.at("phase").as_array();
  return (last ? phases.back() : phases.front()).at("data");
}

bool shifts(const Arm& arm) { return !(data_of(arm, false) == data_of(arm, true)); }

double replay_fraction(const Json& phase) { return phase.at("replay").is_null() ? 0 : phase.at("replay").at("fraction").as_double(); }

std::vector<Group> groups_of(const std::vector<Arm>& arms) {
  std::vector<Group> out;
  for (const auto& arm : arms) {
    const int64_t seed = arm.resolved.at("train").at("seed").as_int();
    const auto known = std::find_if(out.begin(), out.end(), [&](const Group& group) { return group.name == arm.group; });
    if (known != out.end()) {
      known->seeds.insert(seed);
      continue;
    }
    Group group;
    group.name = arm.group;
    group.is_dense = arm.resolved.at("model").at("n_experts").as_int() == 0;
    group.flops_per_token = training_flops_per_token(arm);
    const auto& phases = arm.resolved.at("phase").as_array();
    const auto sets = shift_sets(arm);
    group.old_data = sets.old_data;
    group.new_data = sets.new_data;
    group.shifts = shifts(arm);
    group.replay_fraction = replay_fraction(phases.back());
    for (const auto& phase : phases) group.has_replay = group.has_replay || replay_fraction(phase) > 0;
    group.recipe = recipe_without_replay(arm);
    group.budget = budget_of(arm);
    group.seeds = {seed};
    out.push_back(group);
  }
  return out;
}

struct Figures {
  Means forgetting, new_loss, first, peak, after;
};

Figures collect(const std::vector<Arm>& arms, train::NamedTables tables) {
  std::map<std::string, const Arm*> by_name;
  for (const auto& arm : arms) by_name[arm.name] = &arm;
  Figures out;
  for (const auto& row : train::find_table(tables, "forgetting").rows) {
    const Arm& arm = *by_name.at(row[0].as_string());
    const auto& phases = arm.resolved.at("phase").as_array();
    if (phases.size() < 2 || !(row[1] == phases.back().at("name"))) continue;
    const auto sets = shift_sets(arm);
    if (row[2].as_string() == sets.old_data && !row[5].is_null()) out.forgetting.add(arm.group, row[5].as_double());
    if (row[2].as_string() == sets.new_data) out.new_loss.add(arm.group, row[3].as_double());
  }
  for (const auto& row : train::find_table(tables, "shift_mri").rows) {
    const Arm& arm = *by_name.at(row[0].as_string());
    if (!row[2].is_null() || row[4].is_null() || !(row[1] == arm.resolved.at("phase").as_array().back().at("name"))) continue;
    const double before = row[4].as_double();
    out.first.add(arm.group, row[5].as_double() / before);
    out.peak.add(arm.group, row[6].as_double() / before);
    out.after.add(arm.group, row[9].as_double() / before);
  }
  return out;
}

// The group with the least and that with the most of a figure.
struct Range {
  std::string least, most;
  double low = INFINITY, high = -INFINITY;
};
Range range_of(Means& means, const std::vector<std::string>& names) {
  Range out;
  for (const auto& name : names) {
    const double* value = means.find(name);
    if (value == nullptr) continue;
    if (*value < out.low) std::tie(out.low, out.least) = std::pair(*value, name);
    if (*value > out.high) std::tie(out.high, out.most) = std::pair(*value, name);
  }
  return out;
}

// What arms whose routers compare have in common: data, budget and replay.
std::string training_of(const Arm& arm) {
  std::string out = budget_of(arm);
  for (const auto& phase : arm.resolved.at("phase").as_array()) out += " " + Json(replay_fraction(phase)).dump();
  return out;
}

// Of the table `routers`; empty where there is none.
std::vector<std::string> router_headlines(const std::vector<Arm>& arms, const train::NamedTables& tables) {
  const auto found = std::find_if(tables.begin(), tables.end(), [](const auto& entry) { return entry.first == "routers"; });
  if (found == tables.end()) return {};
  const Table& table = found->second;
  std::map<std::string, const Arm*> by_name;
  for (const auto& arm : arms) by_name[arm.name] = &arm;
  Means loss, jump, mri;
  std::vector<std::string> causal, all;  // groups, those whose losses compare first
  std::set<std::string> rules;           // of the causal groups
  std::string budget, new_data;          // of the first arm with a router: others do not compare
  double least_bound = INFINITY, most_bound = 0;
  bool shifts_data = false;
  for (const auto& row : table.rows) {
    const auto at = [&](const char* column) -> const Json& { return row[table.column(column)]; };
    const Arm& arm = *by_name.at(row[0].as_string());
    const std::string& group = arm.group;
    if (at("router").is_null()) continue;
    if (budget.empty()) std::tie(budget, new_data) = std::pair(training_of(arm), at("new_data").as_string());
    if (budget != training_of(arm)) continue;
    shifts_data = shifts(arm);
    if (at("eval_causal").as_bool()) {
      causal.push_back(group);
      rules.insert(at("router").as_string() + " " + at("capacity").as_string());
    }
    all.push_back(group);
    least_bound = std::min(least_bound, at("lower_bound").as_double());
    most_bound = std::max(most_bound, at("lower_bound").as_double());
    if (!at("loss_new").is_null()) loss.add(group, at("loss_new").as_double());
    if (!at("eval_mri_new").is_null()) mri.add(group, at("eval_mri_new").as_double());
    if (!at("mri_before").is_null() && at("mri_before").as_double() > 0) jump.add(group, at("mri_peak").as_double() / at("mri_before").as_double());
  }
  std::vector<std::string> out;
  const auto losses = range_of(loss, causal), jumps = range_of(jump, all), evens = range_of(mri, all);
  const auto n_causal = std::set<std::string>(causal.begin(), causal.end()).size();
  if (losses.least != losses.most)
    out.push_back(format("Of %zu %s that do not look ahead at evaluation %s has the lowest loss on %s in the end, %.2f nats a token, and %s the highest, %.2f.", n_causal, rules.size() == n_causal ? "routing rules" : "arms with routers", losses.least.c_str(), new_data.c_str(), losses.low, losses.most.c_str(), losses.high));
  if (jumps.least != jumps.most && shifts_data)
    out.push_back(format("At the shift the busiest expert's share of a training batch rises at most to %.1f times what it was under %s, and to %.1f times under %s.", jumps.low, jumps.least.c_str(), jumps.high, jumps.most.c_str()));
  const auto low = format("%.1f", 100 * least_bound), high = format("%.1f", 100 * most_bound);
  const auto bound = low == high ? low : low + " to " + high;
  if (evens.least != evens.most)
    out.push_back(format("On held-out %s the busiest expert gets %.0f %% of the tokens under %s and %.0f %% under %s; an even load is %s %%.", new_data.c_str(), 100 * evens.low, evens.least.c_str(), 100 * evens.high, evens.most.c_str(), bound.c_str()));
  return out;
}

// Does the router make forgetting worse than in a dense model of the same data and budget? Empty where nothing compares.
std::string forgetting_headline(const std::vector<Group>& groups, Figures& figures) {
  const auto dense = std::find_if(groups.begin(), groups.end(), [&](const Group& group) { return group.is_dense && !group.has_replay && group.shifts && figures.forgetting.find(group.name) != nullptr; });
  if (dense == groups.end()) return "";
  double least = INFINITY, most = -INFINITY;
  FlopMatch moe_flops, all_flops;
  all_flops.add(dense->flops_per_token);
  for (const auto& group : groups) {
    const double* forgetting = figures.forgetting.find(group.name);
    if (group.is_dense || group.has_replay || group.budget != dense->budget || forgetting == nullptr) continue;
    least = std::min(least, *forgetting);
    most = std::max(most, *forgetting);
    moe_flops.add(group.flops_per_token);
    all_flops.add(group.flops_per_token);
  }
  if (!std::isfinite(least)) return "";
  const double reference = *figures.forgetting.find(dense->name);
  const double same = 0.05 * std::abs(reference);  // about the spread over seeds (docs/findings.md)
  const char* verdict = "forget about as much as";
  if (most <= reference - same) verdict = "forget no more than";
  if (least > reference + same) verdict = "forget more than";
  std::string cost = " of the same FLOPs";
  if (!all_flops.holds()) {
    const auto low = format("%.2f", moe_flops.least / dense->flops_per_token), high = format("%.2f", moe_flops.most / dense->flops_per_token);
    cost = ", at " + (low == high ? low : low + " to " + high) + " times its FLOPs a token";
  }
  return format("Without replay the MoE models %s the dense one%s: %+.2f to %+.2f nats a token on %s against %+.2f.", verdict, cost.c_str(), least, most, dense->old_data.c_str(), reference);
}

// How much does replay help? Each group with replay against the one that differs from it in nothing else.
std::vector<std::string> replay_headlines(const std::vector<Group>& groups, Figures& figures) {
  std::vector<std::string> out;
  for (const auto& with : groups) {
    if (with.replay_fraction <= 0 || with.replay_fraction >= 1 || !with.shifts) continue;
    const auto without = std::find_if(groups.begin(), groups.end(), [&](const Group& group) { return !group.has_replay && group.recipe == with.recipe && group.seeds == with.seeds; });
    if (without == groups.end()) continue;
    const double *a = figures.forgetting.find(without->name), *b = figures.forgetting.find(with.name);
    const double *x = figures.new_loss.find(without->name), *y = figures.new_loss.find(with.name);
    if (a == nullptr || b == nullptr || x == nullptr || y == nullptr) continue;
    out.push_back(format("%s: with %.0f %% of each batch replayed, forgetting on %s is %+.2f nats instead of %+.2f; the loss on %s is %.2f instead of %.2f.", with.name.c_str(), 100 * with.replay_fraction,
                         with.old_data.c_str(), *b, *a, with.new_data.c_str(), *y, *x));
  }
  return out;
}

}  // namespace

std::vector<std::string> study_headlines(const std::vector<Arm>& arms, const train::NamedTables& tables) {
  std::vector<std::string> out;
  const auto groups = groups_of(arms);
  auto figures = collect(arms, tables);
  if (auto sentence = forgetting_headline(groups, figures); !sentence.empty()) out.push_back(std::move(sentence));
  const auto replay = replay_headlines(groups, figures);
  out.insert(out.end(), replay.begin(), replay.end());

  // Does the load stay balanced through the shift? Of many routers: the best and the worst.
  const auto many = router_headlines(arms, tables);
  out.insert(out.end(), many.begin(), many.end());
  if (!many.empty()) return out;
  for (const auto& group : groups) {
    const double *first = figures.first.find(group.name), *peak = figures.peak.find(group.name), *after = figures.after.find(group.name);
    if (first == nullptr || group.has_replay || !group.shifts) continue;
    out.push_back(format("%s: at the shift MRI is %.2f times what it was, at most %.2f times in the first 50 steps, and %.2f times at the end.", group.name.c_str(), *first, *peak, *after));
  }
  return out;
}

}  // namespace evenkeel::study
