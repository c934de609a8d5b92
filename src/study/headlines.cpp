// The study's answers in words, from its tables. Each sentence compares figures that stand in a table.
#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "study/comparison.h"
#include "study/estimates.h"
#include "study/tables.h"

namespace evenkeel::study {
namespace {

using train::Arm;

std::string format(const char* pattern, ...) {
  va_list arguments, again;
  va_start(arguments, pattern);
  va_copy(again, arguments);
  std::string out(static_cast<size_t>(std::vsnprintf(nullptr, 0, pattern, arguments)), ' ');
  std::vsnprintf(out.data(), out.size() + 1, pattern, again);
  va_end(arguments);
  va_end(again);
  return out;
}

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
  Estimates forgetting, new_loss, first, peak, after;
  bool has(const std::string& group) const { return forgetting.has(group) && new_loss.has(group); }
};

int64_t seed_of(const Arm& arm) { return arm.resolved.at("train").at("seed").as_int(); }

// A cell of `forgetting` and its error, with the blocks of text that the evaluations have of it.
train::LossFigure figure_of(const Json& value, const Json& se, const std::optional<train::LossFigure>& evaluated) {
  return {value.as_double(), se.is_number() ? std::optional(se.as_double()) : std::nullopt, evaluated ? evaluated->blocks : std::nullopt};
}

Figures collect(const std::vector<Arm>& arms, train::NamedTables tables) {
  std::map<std::string, const Arm*> by_name;
  for (const auto& arm : arms) by_name[arm.name] = &arm;
  Figures out;
  const Table& table = train::find_table(tables, "forgetting");
  for (const auto& row : table.rows) {
    const Arm& arm = *by_name.at(row[0].as_string());
    const auto& phases = arm.resolved.at("phase").as_array();
    if (phases.size() < 2 || !(row[1] == phases.back().at("name"))) continue;
    const auto sets = shift_sets(arm);
    const std::string& data = row[2].as_string();
    const auto at = [&](const char* column) -> const Json& { return row[table.column(column)]; };
    if (data == sets.old_data && !at("change").is_null()) out.forgetting.add(arm.group, seed_of(arm), figure_of(at("change"), at("change_se"), train::loss_change(arm, data)));
    if (data == sets.new_data) out.new_loss.add(arm.group, seed_of(arm), figure_of(at("loss"), at("loss_se"), train::loss_at_end(arm, data)));
  }
  for (const auto& row : train::find_table(tables, "shift_mri").rows) {
    const Arm& arm = *by_name.at(row[0].as_string());
    if (!row[2].is_null() || row[4].is_null() || !(row[1] == arm.resolved.at("phase").as_array().back().at("name"))) continue;
    const double before = row[4].as_double();
    out.first.add(arm.group, seed_of(arm), row[5].as_double() / before);
    out.peak.add(arm.group, seed_of(arm), row[6].as_double() / before);
    out.after.add(arm.group, seed_of(arm), row[9].as_double() / before);
  }
  return out;
}

// The group with the least and that with the most of a figure.
struct Range {
  std::string least, most;
  int64_t n = 0;  // groups
};
Range range_of(const Estimates& figures, const std::set<std::string>& names) {
  Range out;
  for (const auto& name : names) {
    if (!figures.has(name)) continue;
    const double value = figures.of(name).value;
    if (out.n == 0 || value < figures.of(out.least).value) out.least = name;
    if (out.n == 0 || value > figures.of(out.most).value) out.most = name;
    ++out.n;
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
  Estimates loss, jump, mri;
  std::set<std::string> causal, all;  // groups, those whose losses compare first
  std::set<std::string> rules;        // of the causal groups
  std::string budget, new_data;       // of the first arm with a router: others do not compare
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
      causal.insert(group);
      rules.insert(at("router").as_string() + " " + at("capacity").as_string());
    }
    all.insert(group);
    least_bound = std::min(least_bound, at("lower_bound").as_double());
    most_bound = std::max(most_bound, at("lower_bound").as_double());
    if (!at("loss_new").is_null()) {
      const auto evaluated = train::loss_at_end(arm, new_data);
      loss.add(group, seed_of(arm), figure_of(at("loss_new"), evaluated && evaluated->se ? Json(*evaluated->se) : Json(), evaluated));
    }
    if (!at("eval_mri_new").is_null()) mri.add(group, seed_of(arm), at("eval_mri_new").as_double());
    if (!at("mri_before").is_null() && at("mri_before").as_double() > 0) jump.add(group, seed_of(arm), at("mri_peak").as_double() / at("mri_before").as_double());
  }
  std::vector<std::string> out;
  const auto losses = range_of(loss, causal), jumps = range_of(jump, all), evens = range_of(mri, all);
  if (losses.least != losses.most) {
    const auto gap = loss.difference(losses.most, losses.least, losses.n * (losses.n - 1) / 2);
    out.push_back(format("Of %zu %s that do not look ahead at evaluation %s has the lowest loss on %s in the end, %s nats a token, and %s the highest, %s (%s).", causal.size(), rules.size() == causal.size() ? "routing rules" : "arms with routers", losses.least.c_str(), new_data.c_str(), loss.of(losses.least).text().c_str(), losses.most.c_str(), loss.of(losses.most).text().c_str(), gap.text().c_str()));
  }
  if (jumps.least != jumps.most && shifts_data)
    out.push_back(format("At the shift the busiest expert's share of a training batch rises at most to %s times what it was under %s, and to %s times under %s.", jump.of(jumps.least).text().c_str(), jumps.least.c_str(), jump.of(jumps.most).text().c_str(), jumps.most.c_str()));
  const auto low = format("%.1f", 100 * least_bound), high = format("%.1f", 100 * most_bound);
  const auto bound = low == high ? low : low + " to " + high;
  if (evens.least != evens.most)
    out.push_back(format("On held-out %s the busiest expert gets %.0f %% of the tokens under %s and %.0f %% under %s; an even load is %s %%.", new_data.c_str(), 100 * mri.of(evens.least).value, evens.least.c_str(), 100 * mri.of(evens.most).value, evens.most.c_str(), bound.c_str()));
  return out;
}

// How many of some differences are beyond noise on either side, or have no error at all.
struct Verdict {
  int64_t more = 0, less = 0, unknown = 0, n = 0;
  void add(const Difference& difference) {
    ++n;
    if (!difference.half) ++unknown;
    if (difference.is_beyond_noise()) ++(difference.value > 0 ? more : less);
  }
};

// "the MoE models forget more than the dense one" of as many models as there are; `cost` follows the dense one.
std::string forgetting_verdict(const Verdict& verdict, const std::string& cost) {
  const auto [more, less, unknown, n] = verdict;
  const std::string one = n == 1 ? "the MoE model" : "the MoE models", s = n == 1 ? "s" : "", dense = " the dense one" + cost;
  if (more == n) return one + " forget" + s + " more than" + dense;
  if (less == n) return one + " forget" + s + " less than" + dense;
  if (unknown == n) return one + " forget" + s + ", with errors that are not known, beside" + dense;
  if (more + less == 0) return "there is no difference beyond noise in forgetting between " + one + " and" + dense;
  return format("%lld of %lld MoE models forget more and %lld less, beyond noise, than", static_cast<long long>(more), static_cast<long long>(n), static_cast<long long>(less)) + dense;
}

// Does the router make forgetting worse than in a dense model of the same data and budget? Empty where nothing compares.
std::string forgetting_headline(const std::vector<Group>& groups, const Figures& figures) {
  const auto& forgetting = figures.forgetting;
  const auto dense = std::find_if(groups.begin(), groups.end(), [&](const Group& group) { return group.is_dense && !group.has_replay && group.shifts && forgetting.has(group.name); });
  if (dense == groups.end()) return "";
  std::set<std::string> models;
  FlopMatch moe_flops, all_flops;
  all_flops.add(dense->flops_per_token);
  for (const auto& group : groups) {
    if (group.is_dense || group.has_replay || group.budget != dense->budget || !forgetting.has(group.name)) continue;
    models.insert(group.name);
    moe_flops.add(group.flops_per_token);
    all_flops.add(group.flops_per_token);
  }
  if (models.empty()) return "";
  Verdict verdict;
  for (const auto& model : models) verdict.add(forgetting.difference(model, dense->name, static_cast<int64_t>(models.size())));
  std::string cost = " of the same FLOPs";
  if (!all_flops.holds()) {
    const auto low = format("%.2f", moe_flops.least / dense->flops_per_token), high = format("%.2f", moe_flops.most / dense->flops_per_token);
    cost = ", at " + (low == high ? low : low + " to " + high) + " times its FLOPs a token";
  }
  const auto range = range_of(forgetting, models);
  const std::string least = forgetting.of(range.least).text(true), most = forgetting.of(range.most).text(true);
  return "Without replay " + forgetting_verdict(verdict, cost) + ": " + (models.size() == 1 ? least : least + " to " + most) + " nats a token on " + dense->old_data + " against " + forgetting.of(dense->name).text(true) + ".";
}

// How much does replay help? Each group with replay against the one that differs from it in nothing else.
std::vector<std::string> replay_headlines(const std::vector<Group>& groups, const Figures& figures) {
  const auto compared = [](const Estimates& of, const std::string& with, const std::string& without, bool sign) {
    return std::pair(of.of(with).text(sign), " instead of " + of.of(without).text(sign) + " (" + of.difference(with, without).text() + ")");
  };
  std::vector<std::string> out;
  for (const auto& with : groups) {
    if (with.replay_fraction <= 0 || with.replay_fraction >= 1 || !with.shifts || !figures.has(with.name)) continue;
    const auto without = std::find_if(groups.begin(), groups.end(), [&](const Group& group) { return !group.has_replay && group.recipe == with.recipe && group.seeds == with.seeds; });
    if (without == groups.end() || !figures.has(without->name)) continue;
    const auto [old_change, old_rest] = compared(figures.forgetting, with.name, without->name, true);
    const auto [new_loss, new_rest] = compared(figures.new_loss, with.name, without->name, false);
    out.push_back(format("%s: with %.0f %% of each batch replayed, forgetting on %s is ", with.name.c_str(), 100 * with.replay_fraction, with.old_data.c_str()) + old_change + " nats" + old_rest + "; the loss on " +
                  with.new_data + " is " + new_loss + new_rest + ".");
  }
  return out;
}

// Does the load stay balanced through the shift? Of many routers the best and the worst, else each group without replay.
std::vector<std::string> balance_headlines(const std::vector<Arm>& arms, const train::NamedTables& tables, const std::vector<Group>& groups, const Figures& figures) {
  auto out = router_headlines(arms, tables);
  if (!out.empty()) return out;
  for (const auto& group : groups) {
    if (!figures.first.has(group.name) || group.has_replay || !group.shifts) continue;
    const auto times = [&](const Estimates& of) { return of.of(group.name).text() + " times"; };
    out.push_back(group.name + ": at the shift MRI is " + times(figures.first) + " what it was, at most " + times(figures.peak) + " in the first 50 steps, and " + times(figures.after) + " at the end.");
  }
  return out;
}

}  // namespace

std::vector<std::string> study_headlines(const std::vector<Arm>& arms, const train::NamedTables& tables) {
  std::vector<std::string> out;
  const auto groups = groups_of(arms);
  const auto figures = collect(arms, tables);
  if (auto sentence = forgetting_headline(groups, figures); !sentence.empty()) out.push_back(std::move(sentence));
  for (auto& sentence : replay_headlines(groups, figures)) out.push_back(std::move(sentence));
  for (auto& sentence : balance_headlines(arms, tables, groups, figures)) out.push_back(std::move(sentence));
  const bool is_one_seed = std::all_of(groups.begin(), groups.end(), [](const Group& group) { return group.seeds.size() == 1; });
  if (!out.empty() && is_one_seed) out.emplace_back("Every arm has one seed: errors and intervals are those of the held-out text, and another seed may differ by more.");
  return out;
}

}  // namespace evenkeel::study
