// The study's answers in words, from its tables. Each sentence compares figures that stand in a table.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "study/comparison.h"
#include "study/pair_headlines.h"
#include "study/tables.h"
#include "train/warnings.h"

namespace evenkeel::study {
namespace {

using train::Arm;

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
  double flops_per_token = 0;
  std::string old_data, new_data, budget;      // of budget_of
  bool shifts = false, has_collapsed = false;  // has_collapsed: one of its arms
  std::vector<const Outcome*> outcomes;
};

std::vector<Group> groups_of(const std::vector<Arm>& arms, const std::map<std::string, Outcome>& outcomes) {
  std::vector<Group> out;
  for (const auto& arm : arms) {
    auto group = std::find_if(out.begin(), out.end(), [&](const Group& known) { return known.name == arm.group; });
    if (group == out.end()) {
      const auto sets = shift_sets(arm);
      const bool is_dense = arm.resolved.at("model").at("n_experts").as_int() == 0;
      group = out.insert(out.end(), Group{arm.group, is_dense, has_replay(arm), training_flops_per_token(arm), sets.old_data, sets.new_data, budget_of(arm), shifts_data(arm), false, {}});
    }
    group->outcomes.push_back(&outcomes.at(arm.name));
    group->has_collapsed = group->has_collapsed || group->outcomes.back()->has_collapsed;
  }
  return out;
}

Means forgetting_of(const std::vector<Group>& groups) {
  Means out;
  for (const auto& group : groups)
    for (const Outcome* outcome : group.outcomes)
      if (!std::isnan(outcome->forgetting)) out.add(group.name, outcome->forgetting);
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
  for (const auto& phase : arm.resolved.at("phase").as_array()) out += " " + (phase.at("replay").is_null() ? Json(0.0) : phase.at("replay").at("fraction")).dump();
  return out;
}

// Of the table `routers`; empty where there is none.
std::vector<std::string> router_headlines(const std::vector<Arm>& arms, const train::NamedTables& tables, const std::vector<Group>& groups) {
  const auto found = std::find_if(tables.begin(), tables.end(), [](const auto& entry) { return entry.first == "routers"; });
  if (found == tables.end()) return {};
  const Table& table = found->second;
  std::map<std::string, const Arm*> by_name;
  for (const auto& arm : arms) by_name[arm.name] = &arm;
  std::set<std::string> collapsed;
  for (const auto& group : groups)
    if (group.has_collapsed) collapsed.insert(group.name);
  const auto named = [&](const std::string& name) { return name + (collapsed.contains(name) ? " (its router has collapsed)" : ""); };
  Means loss, before, peak, height, mri, in_use;  // height: the peak over the even load
  std::vector<std::string> causal, all, sound;    // groups: those whose losses compare, all with a router, and those without a collapse
  std::set<std::string> rules;                    // of the causal groups
  std::string budget, new_data;                   // of the first arm with a router: others do not compare
  std::map<std::string, Json> n_experts;
  double least_bound = INFINITY, most_bound = 0;
  bool has_shift = false;
  for (const auto& row : table.rows) {
    const auto at = [&](const char* column) -> const Json& { return row[table.column(column)]; };
    const Arm& arm = *by_name.at(row[0].as_string());
    const std::string& group = arm.group;
    if (at("router").is_null()) continue;
    if (budget.empty()) std::tie(budget, new_data) = std::pair(training_of(arm), at("new_data").as_string());
    if (budget != training_of(arm)) continue;
    has_shift = shifts_data(arm);
    if (at("eval_causal").as_bool()) {
      causal.push_back(group);
      rules.insert(at("router").as_string() + " " + at("capacity").as_string());
    }
    all.push_back(group);
    if (!collapsed.contains(group)) sound.push_back(group);
    least_bound = std::min(least_bound, at("lower_bound").as_double());
    most_bound = std::max(most_bound, at("lower_bound").as_double());
    if (!at("loss_new").is_null()) loss.add(group, at("loss_new").as_double());
    if (!at("eval_mri_new").is_null()) mri.add(group, at("eval_mri_new").as_double());
    if (!at("experts").is_null() && !at("dead").is_null()) in_use.add(group, at("experts").as_double() - at("dead").as_double());
    n_experts[group] = at("experts");
    if (at("mri_before").is_null()) continue;
    before.add(group, 100 * at("mri_before").as_double());
    peak.add(group, 100 * at("mri_peak").as_double());
    height.add(group, at("mri_peak").as_double() / at("lower_bound").as_double());
  }
  std::vector<std::string> out;
  const auto losses = range_of(loss, causal), evens = range_of(mri, all);
  auto jumps = range_of(height, all);
  jumps.least = range_of(height, sound).least;  // a collapsed router has nowhere to rise to
  const auto n_causal = std::set<std::string>(causal.begin(), causal.end()).size();
  if (losses.least != losses.most)
    out.push_back(format("Of %zu %s that do not look ahead at evaluation %s has the lowest loss on %s in the end, %.2f nats a token, and %s the highest, %.2f.", n_causal, rules.size() == n_causal ? "routing rules" : "arms with routers", named(losses.least).c_str(), new_data.c_str(), losses.low, named(losses.most).c_str(), losses.high));
  const auto low = format("%.1f", 100 * least_bound), high = format("%.1f", 100 * most_bound);
  const auto bound = low == high ? low : low + " to " + high;
  const auto rise = [&](const std::string& name) { return format("from %.1f to at most %.1f %% under ", *before.find(name), *peak.find(name)) + named(name); };
  if (!jumps.least.empty() && jumps.least != jumps.most && has_shift)
    out.push_back("At the shift the busiest expert's share of a training batch goes " + rise(jumps.least) + ", and " + rise(jumps.most) + "; an even load is " + bound + " %.");
  const auto used = [&](const std::string& name) {
    const double* experts = in_use.find(name);
    return experts == nullptr ? "" : format(", with %.4g of %.4g experts in use", *experts, n_experts.at(name).as_double());
  };
  if (evens.least != evens.most)
    out.push_back(format("On held-out %s the busiest expert gets %.1f %% of the tokens under ", new_data.c_str(), 100 * evens.low) + named(evens.least) + used(evens.least) + format(", and %.1f %% under ", 100 * evens.high) + named(evens.most) + used(evens.most) + "; an even load is " + bound + " %.");
  return out;
}

// Does the router make forgetting worse than in a dense model of the same data and budget? Empty where nothing compares.
std::string forgetting_headline(const std::vector<Group>& groups) {
  Means forgetting_means = forgetting_of(groups);
  const auto dense = std::find_if(groups.begin(), groups.end(), [&](const Group& group) { return group.is_dense && !group.has_replay && group.shifts && forgetting_means.find(group.name) != nullptr; });
  if (dense == groups.end()) return "";
  double least = INFINITY, most = -INFINITY;
  FlopMatch moe_flops, all_flops;
  all_flops.add(dense->flops_per_token);
  for (const auto& group : groups) {
    const double* forgetting = forgetting_means.find(group.name);
    if (group.is_dense || group.has_replay || group.budget != dense->budget || forgetting == nullptr) continue;
    least = std::min(least, *forgetting);
    most = std::max(most, *forgetting);
    moe_flops.add(group.flops_per_token);
    all_flops.add(group.flops_per_token);
  }
  if (!std::isfinite(least)) return "";
  const double reference = *forgetting_means.find(dense->name);
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

// "7", "7 to 8" of figures over seeds.
std::string least_to_most(const std::vector<const Outcome*>& outcomes, double Outcome::*figure, const char* pattern) {
  double least = INFINITY, most = -INFINITY;
  for (const Outcome* outcome : outcomes) {
    if (std::isnan(outcome->*figure)) continue;
    least = std::min(least, outcome->*figure);
    most = std::max(most, outcome->*figure);
  }
  if (!std::isfinite(least)) return "";
  const auto low = format(pattern, least), high = format(pattern, most);
  return low == high ? low : low + " to " + high;
}

// Does the load stay balanced through the shift? As shares of tokens beside the even load, and experts in use: a ratio alone would praise a
// router that was collapsed before.
std::string balance_headline(const Group& group) {
  Outcome sum{.mri_before = 0, .mri_first = 0, .mri_peak = 0, .mri_end = 0};
  double n = 0;
  for (const Outcome* outcome : group.outcomes) {
    if (std::isnan(outcome->mri_before)) continue;
    for (const auto figure : {&Outcome::mri_before, &Outcome::mri_first, &Outcome::mri_peak, &Outcome::mri_end}) sum.*figure += 100 * (outcome->*figure);
    ++n;
  }
  if (n == 0 || group.has_replay || !group.shifts) return "";
  std::string out = group.name + format(": at the shift MRI, the busiest expert's share of a training batch, goes from %.1f %% to %.1f %%, is at most %.1f %% in the first 50 steps, and %.1f %% at the end; an even load is ", sum.mri_before / n, sum.mri_first / n, sum.mri_peak / n, sum.mri_end / n) +
                    format("%.1f %%.", 100 * group.outcomes[0]->even_load);
  const auto in_use = least_to_most(group.outcomes, &Outcome::experts_in_use, "%.0f");
  if (!in_use.empty()) out += " In the end " + in_use + " of " + least_to_most(group.outcomes, &Outcome::experts, "%.0f") + " experts get a token of held-out " + group.new_data + ".";
  if (group.has_collapsed) out += " Its router has collapsed.";
  return out;
}

}  // namespace

std::vector<std::string> study_headlines(const std::vector<Arm>& arms, const train::NamedTables& tables) {
  const auto outcomes = outcomes_of(arms, tables);
  const auto groups = groups_of(arms, outcomes);
  std::vector<std::string> out = train::collapse_headlines(arms);
  const auto add = [&](std::string sentence) {
    if (!sentence.empty()) out.push_back(std::move(sentence));
  };
  add(forgetting_headline(groups));
  // Of many routers the best and the worst, else each pair of arms that differ in one thing.
  const auto many = router_headlines(arms, tables, groups);
  const auto pairs = pairs_of(arms);
  for (const auto& pair : pairs)
    if (many.empty() || pair.aspect != "routing") add(pair_headline(pair, outcomes));
  for (const auto& sentence : many) add(sentence);
  if (many.empty())
    for (const auto& group : groups) add(balance_headline(group));
  if (!out.empty())
    for (const auto& note : unpaired_notes(arms, pairs)) add(note);
  return out;
}

}  // namespace evenkeel::study
