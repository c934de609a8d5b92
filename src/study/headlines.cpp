// The study's answers in words, from its tables. Each sentence compares figures that stand in a table.
#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <limits>
#include <map>
#include <set>
#include <tuple>

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
  bool is_dense = false;
  double replay_fraction = 0;
  std::string router, old_data, new_data;
  size_t n_phases = 0;
};

std::vector<Group> groups_of(const std::vector<Arm>& arms) {
  std::vector<Group> out;
  for (const auto& arm : arms) {
    bool known = false;
    for (const auto& group : out) known = known || group.name == arm.group;
    if (known) continue;
    Group group;
    group.name = arm.group;
    group.is_dense = arm.resolved.at("model").at("n_experts").as_int() == 0;
    if (!group.is_dense) group.router = arm.resolved.at("model").at("router").at("kind").as_string();
    const auto& phases = arm.resolved.at("phase").as_array();
    group.n_phases = phases.size();
    group.old_data = phases.front().at("data").at(0).at("name").as_string();
    group.new_data = phases.back().at("data").at(0).at("name").as_string();
    const Json& replay = phases.back().at("replay");
    if (!replay.is_null()) group.replay_fraction = replay.at("fraction").as_double();
    out.push_back(group);
  }
  return out;
}

struct Figures {
  Means forgetting, new_loss, before, first, peak, after, eval_mri_old;
};

Figures collect(const std::vector<Arm>& arms, train::NamedTables tables) {
  std::map<std::string, const Arm*> by_name;
  for (const auto& arm : arms) by_name[arm.name] = &arm;
  Figures out;
  for (const auto& row : train::find_table(tables, "forgetting").rows) {
    const Arm& arm = *by_name.at(row[0].as_string());
    const auto& phases = arm.resolved.at("phase").as_array();
    if (phases.size() < 2 || !(row[1] == phases.back().at("name"))) continue;
    if (row[2] == phases.front().at("data").at(0).at("name") && !row[5].is_null()) out.forgetting.add(arm.group, row[5].as_double());
    if (row[2] == phases.back().at("data").at(0).at("name")) out.new_loss.add(arm.group, row[3].as_double());
  }
  for (const auto& row : train::find_table(tables, "shift_mri").rows) {
    const Arm& arm = *by_name.at(row[0].as_string());
    if (!row[2].is_null() || row[4].is_null() || !(row[1] == arm.resolved.at("phase").as_array().back().at("name"))) continue;
    const double before = row[4].as_double();
    out.before.add(arm.group, before);
    out.first.add(arm.group, row[5].as_double() / before);
    out.peak.add(arm.group, row[6].as_double() / before);
    out.after.add(arm.group, row[9].as_double() / before);
  }
  for (const auto& row : train::find_table(tables, "eval_mri").rows) {
    const Arm& arm = *by_name.at(row[0].as_string());
    const auto& phases = arm.resolved.at("phase").as_array();
    if (row[1] == phases.front().at("name") && row[2] == phases.front().at("data").at(0).at("name")) out.eval_mri_old.add(arm.group, row[4].as_double());
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

// Of the table `routers`; empty where there is none.
std::vector<std::string> router_headlines(const std::vector<Arm>& arms, const train::NamedTables& tables) {
  const auto found = std::find_if(tables.begin(), tables.end(), [](const auto& entry) { return entry.first == "routers"; });
  if (found == tables.end()) return {};
  const Table& table = found->second;
  std::map<std::string, std::string> group_of;
  for (const auto& arm : arms) group_of[arm.name] = arm.group;
  Means loss, jump, mri;
  std::vector<std::string> causal, all;  // groups, those whose losses compare first
  std::string new_data;
  double bound = INFINITY;
  for (const auto& row : table.rows) {
    const auto at = [&](const char* column) -> const Json& { return row[table.column(column)]; };
    const std::string& group = group_of.at(row[0].as_string());
    if (at("router").is_null()) continue;
    if (at("eval_causal").as_bool()) causal.push_back(group);
    all.push_back(group);
    new_data = at("new_data").as_string();
    bound = std::min(bound, at("lower_bound").as_double());
    if (!at("loss_new").is_null()) loss.add(group, at("loss_new").as_double());
    if (!at("eval_mri_new").is_null()) mri.add(group, at("eval_mri_new").as_double());
    if (!at("mri_before").is_null() && at("mri_before").as_double() > 0) jump.add(group, at("mri_peak").as_double() / at("mri_before").as_double());
  }
  std::vector<std::string> out;
  const auto losses = range_of(loss, causal), jumps = range_of(jump, all), evens = range_of(mri, all);
  const auto n_causal = std::set<std::string>(causal.begin(), causal.end()).size();
  if (losses.least != losses.most)
    out.push_back(format("Of %zu routing rules that do not look ahead at evaluation %s has the lowest loss on %s in the end, %.2f nats a token, and %s the highest, %.2f.", n_causal, losses.least.c_str(), new_data.c_str(), losses.low, losses.most.c_str(), losses.high));
  if (jumps.least != jumps.most)
    out.push_back(format("At the shift the busiest expert's share of a training batch rises at most to %.1f times what it was under %s, and to %.1f times under %s.", jumps.low, jumps.least.c_str(), jumps.high, jumps.most.c_str()));
  if (evens.least != evens.most)
    out.push_back(format("On held-out %s the busiest expert gets %.0f %% of the tokens under %s and %.0f %% under %s; an even load is %.1f %%.", new_data.c_str(), 100 * evens.low, evens.least.c_str(), 100 * evens.high, evens.most.c_str(), 100 * bound));
  return out;
}

}  // namespace

std::vector<std::string> study_headlines(const std::vector<Arm>& arms, const train::NamedTables& tables) {
  std::vector<std::string> out;
  const auto groups = groups_of(arms);
  auto figures = collect(arms, tables);

  // 1. Does the router make forgetting worse than in a dense model of the same FLOPs?
  const Group* dense = nullptr;
  for (const auto& group : groups)
    if (group.is_dense && group.replay_fraction == 0 && group.n_phases > 1 && dense == nullptr) dense = &group;
  double least = std::numeric_limits<double>::infinity(), most = -least;
  for (const auto& group : groups) {
    const double* forgetting = figures.forgetting.find(group.name);
    if (group.is_dense || group.replay_fraction > 0 || forgetting == nullptr) continue;
    least = std::min(least, *forgetting);
    most = std::max(most, *forgetting);
  }
  if (dense != nullptr && figures.forgetting.find(dense->name) != nullptr && std::isfinite(least)) {
    const double reference = *figures.forgetting.find(dense->name);
    constexpr double kSame = 0.05;  // of the dense model's forgetting: about the spread over seeds (docs/findings.md)
    const char* verdict = "forget about as much as";
    if (most <= (1 - kSame) * reference) verdict = "forget no more than";
    if (least > (1 + kSame) * reference) verdict = "forget more than";
    out.push_back(format("Without replay the MoE models %s the dense one of the same FLOPs: %+.2f to %+.2f nats a token on %s against %+.2f.", verdict, least, most,
                         dense->old_data.c_str(), reference));
  }

  // 2. How much does replay help?
  for (const auto& with : groups) {
    if (with.replay_fraction <= 0 || with.replay_fraction >= 1) continue;
    for (const auto& without : groups) {
      if (without.replay_fraction != 0 || without.is_dense != with.is_dense || without.router != with.router || without.n_phases != with.n_phases) continue;
      const bool same_model = with.name.rfind(without.name.substr(0, without.name.find("-r")), 0) == 0;
      const double *a = figures.forgetting.find(without.name), *b = figures.forgetting.find(with.name);
      const double *x = figures.new_loss.find(without.name), *y = figures.new_loss.find(with.name);
      if (!same_model || a == nullptr || b == nullptr || x == nullptr || y == nullptr) continue;
      out.push_back(format("%s: replaying %.0f %% of %s turns %+.2f nats of forgetting into %+.2f; the loss on %s is %.2f instead of %.2f.", with.name.c_str(), 100 * with.replay_fraction,
                           with.old_data.c_str(), *a, *b, with.new_data.c_str(), *y, *x));
      break;
    }
  }

  // 3. Does the load stay balanced through the shift? Of many routers: the best and the worst.
  const auto many = router_headlines(arms, tables);
  out.insert(out.end(), many.begin(), many.end());
  if (!many.empty()) return out;
  for (const auto& group : groups) {
    const double *first = figures.first.find(group.name), *peak = figures.peak.find(group.name), *after = figures.after.find(group.name);
    if (first == nullptr || group.replay_fraction > 0) continue;
    out.push_back(format("%s: at the shift MRI is %.2f times what it was, at most %.2f times in the first 50 steps, and %.2f times at the end.", group.name.c_str(), *first, *peak, *after));
  }
  return out;
}

}  // namespace evenkeel::study
