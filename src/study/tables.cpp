#include "study/tables.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "study/estimates.h"
#include "study/pair_figures.h"
#include "study/router_table.h"
#include "train/shift_sets.h"
#include "train/table_levels.h"

namespace evenkeel::study {
namespace {

using train::Arm;

bool is_dense(const Arm& arm) { return arm.resolved.at("model").at("n_experts").as_int() == 0; }

// What an arm is compared with: the dense arm of its seed, else the first dense arm of those that `is_there` takes;
// nullptr when there is none.
const Arm* dense_for(const Arm& arm, const std::vector<Arm>& arms, const std::function<bool(const Arm&)>& is_there) {
  const Json& seed = arm.resolved.at("train").at("seed");
  const Arm* first = nullptr;
  for (const auto& other : arms) {
    if (!is_dense(other) || !is_there(other)) continue;
    if (other.resolved.at("train").at("seed") == seed) return &other;
    if (first == nullptr) first = &other;
  }
  return first;
}

// Arms that were not measured have no row; one that was measured beside other work, or against such a dense arm, has no
// ratio.
void add_throughput(const std::vector<Arm>& arms, const Speeds& speeds, train::NamedTables& tables) {
  Table table;
  table.columns = {{"arm", ""},
                   {"tokens_per_second", "tokens/s"},
                   {"step_seconds", "s"},
                   {"ratio_to_dense", ""},
                   {"cpu_seconds_per_token", "s/token"}};
  table.source =
      "median step on random tokens, each model alone on the machine with all its threads, in turns (speed.json); arms "
      "of one model and seed share a measurement; "
      "the ratio is to the dense arm of the same seed, else to the first dense arm; CPU time is of all threads";
  if (const auto note = busy_note(arms, speeds); !note.empty()) table.source += ". " + note;
  for (const auto& arm : arms) {
    if (!speeds.contains(arm.name)) continue;
    const Speed& own = speeds.at(arm.name);
    const Arm* dense = dense_for(arm, arms, [&](const Arm& other) { return speeds.contains(other.name); });
    Json ratio;
    if (dense != nullptr && !own.is_busy() && !speeds.at(dense->name).is_busy())
      ratio = own.tokens_per_second / speeds.at(dense->name).tokens_per_second;
    table.add_row({arm.name, own.tokens_per_second, own.step_seconds, ratio, own.cpu_seconds_per_token});
  }
  tables.emplace_back("throughput", std::move(table));
}

// The held-out set of what the first phase trains on. What a run of one phase may forget is not of its phase.
std::string first_data(const Arm& arm) {
  const auto sets = train::shift_sets(arm);
  return arm.resolved.at("phase").size() == 1 ? sets.new_data : sets.old_data;
}

// The held-out result on the first phase's data at that phase's end; nullptr when there is none.
const record::SetResult* first_result(const Arm& arm, const std::string& data) {
  return train::final_result(arm, train::phase_name(arm, 0), data);
}

// What tokens_to_loss compares an arm with: a dense arm where the study has one, else an arm of the first group; of the
// arm's seed before others. nullptr when none has the figure.
const Arm* loss_reference(const Arm& arm, const std::vector<Arm>& arms,
                          const std::function<bool(const Arm&)>& is_there) {
  if (const Arm* dense = dense_for(arm, arms, is_there)) return dense;
  const Arm* first = nullptr;
  for (const auto& other : arms) {
    if (other.group != arms[0].group || !is_there(other)) continue;
    if (seed_of(other) == seed_of(arm)) return &other;
    if (first == nullptr) first = &other;
  }
  return first;
}

// What an arm came to against the loss of its reference.
struct Approach {
  Json tokens;                              // of the first evaluation at or below it
  std::optional<train::LossFigure> lowest;  // nullopt where the arm was not evaluated on the set
};
Approach approach_of(const Arm& arm, const std::string& data, double target) {
  Approach out;
  for (const auto& evaluation : arm.evaluations) {
    const auto* result = evaluation.find(data);
    if (result == nullptr) continue;
    const auto figure = train::loss_figure(*result);
    if (out.tokens.is_null() && figure.value <= target) out.tokens = evaluation.tokens;
    if (!out.lowest || figure.value < out.lowest->value) out.lowest = figure;
  }
  return out;
}

// Tokens at which each arm's held-out loss first reaches what its reference has at the end of its first phase, and by
// how much the lowest loss misses it.
void add_tokens_to_loss(const std::vector<Arm>& arms, train::NamedTables& tables) {
  if (std::all_of(arms.begin(), arms.end(), [&](const Arm& arm) { return arm.group == arms[0].group; })) return;
  const auto dense = std::find_if(arms.begin(), arms.end(), is_dense);
  const std::string old_data = first_data(dense != arms.end() ? *dense : arms[0]);
  const auto is_there = [&](const Arm& arm) { return first_result(arm, old_data) != nullptr; };
  Table table;
  table.columns = {{"arm", ""},
                   {"data", ""},
                   {"loss", "nats/token"},
                   {"tokens", "tokens"},
                   {"reference", ""},
                   {"short_by", "nats/token"},
                   {"short_by_se", "nats/token"},
                   {"beyond_noise", ""}};
  table.source =
      "first evaluation of the arm at or below the loss that an arm of the group `reference` has at the end of its "
      "first phase: the dense arm of the same seed, else the first dense arm; without dense arms "
      "that of the study's first group. short_by: the arm's lowest loss less that one, with its standard error by the "
      "text; beyond_noise: whether the 95 % interval of the mean over the group's arms leaves 0 out";
  std::map<std::string, Estimates> losses;  // by group: "arm" and "reference"
  for (const auto& arm : arms) {
    const Arm* reference = loss_reference(arm, arms, is_there);
    if (reference == nullptr) return;
    const auto target = train::loss_figure(*first_result(*reference, old_data));
    const auto [tokens, lowest] = approach_of(arm, old_data, target.value);
    const auto missing = lowest ? std::optional(train::difference(*lowest, target)) : std::nullopt;
    table.add_row({arm.name, old_data, target.value, tokens, reference->group, missing ? Json(missing->value) : Json(),
                   missing && missing->se ? Json(*missing->se) : Json(), Json()});
    if (!lowest) continue;
    losses[arm.group].add("arm", seed_of(arm), *lowest);
    losses[arm.group].add("reference", seed_of(*reference), target);
  }
  for (size_t i = 0; i < arms.size(); ++i) {
    if (!losses.contains(arms[i].group)) continue;
    const auto gap = losses.at(arms[i].group).difference("arm", "reference");
    if (gap.half) table.rows[i][table.column("beyond_noise")] = gap.is_beyond_noise();
  }
  tables.emplace_back("tokens_to_loss", std::move(table));
}

}  // namespace

Table summarize(const Table& table, const std::vector<std::string>& keys, const std::vector<Arm>& arms) {
  std::map<std::string, std::string> group_of;
  for (const auto& arm : arms) group_of[arm.name] = arm.group;
  std::vector<size_t> key_columns, figure_columns;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    const auto& name = table.columns[i].name;
    if (name == "arm" || name.ends_with("_se")) continue;
    const bool is_key = std::find(keys.begin(), keys.end(), name) != keys.end();
    (is_key ? key_columns : figure_columns).push_back(i);
  }
  Table out;
  out.columns.push_back({"group", ""});
  for (const size_t i : key_columns) out.columns.push_back(table.columns[i]);
  for (const size_t i : figure_columns) {
    out.columns.push_back({table.columns[i].name + "_mean", table.columns[i].unit});
    out.columns.push_back({table.columns[i].name + "_std", table.columns[i].unit});
    out.columns.push_back({table.columns[i].name + "_n", "arms"});
  }
  out.columns.push_back({"n", "arms"});
  out.chance = table.chance;
  out.tokens = table.tokens;
  out.source =
      table.source +
      "; mean and sample standard deviation over seeds. n: arms of the group, X_n: those that have the figure X";

  std::vector<std::pair<std::string, std::vector<const std::vector<Json>*>>> rows;  // in order of appearance
  std::map<std::string, size_t> index_of;
  for (const auto& row : table.rows) {
    std::string key = group_of.at(row[0].as_string());
    for (const size_t i : key_columns) key += '\n' + row[i].dump();
    const auto [entry, is_new] = index_of.emplace(key, rows.size());
    if (is_new) rows.emplace_back(key, std::vector<const std::vector<Json>*>{});
    rows[entry->second].second.push_back(&row);
  }
  for (const auto& [key, members] : rows) {
    std::vector<Json> summary = {group_of.at((*members[0])[0].as_string())};
    for (const size_t i : key_columns) summary.push_back((*members[0])[i]);
    for (const size_t i : figure_columns) {
      std::vector<double> values;
      for (const auto* row : members)
        if ((*row)[i].is_number()) values.push_back((*row)[i].as_double());
      double mean = 0, square = 0;
      for (const double value : values) mean += value / static_cast<double>(values.size());
      for (const double value : values) square += (value - mean) * (value - mean);
      summary.push_back(values.empty() ? Json() : Json(mean));
      summary.push_back(values.size() > 1 ? Json(std::sqrt(square / static_cast<double>(values.size() - 1))) : Json());
      summary.push_back(static_cast<int64_t>(values.size()));
    }
    summary.push_back(static_cast<int64_t>(members.size()));
    out.add_row(std::move(summary));
  }
  return out;
}

std::string busy_note(const std::vector<Arm>& arms, const Speeds& speeds) {
  std::vector<std::string> names;
  size_t n_measured = 0;
  for (const auto& arm : arms) {
    const auto speed = speeds.find(arm.name);
    if (speed == speeds.end()) continue;
    ++n_measured;
    if (speed->second.is_busy()) names.push_back(arm.name);
  }
  if (names.empty()) return "";
  std::string list = names[0];
  for (size_t i = 1; i < names.size(); ++i) list += (i + 1 < names.size() ? ", " : " and ") + names[i];
  if (names.size() == n_measured) list = "every arm";
  return "The machine was busy with other work while the training speed of " + list +
         " was measured, so it is no measure of the models" +
         (std::any_of(arms.begin(), arms.end(), is_dense) ? ", and there is no ratio to a dense arm." : ".");
}

train::NamedTables study_tables(const std::vector<Arm>& arms, const Speeds& speeds) {
  auto tables = train::new_tables();
  train::add_rows(arms, tables);
  add_throughput(arms, speeds, tables);
  add_tokens_to_loss(arms, tables);
  add_router_table(arms, tables);
  train::set_levels(arms, tables);
  add_pairs(arms, tables);
  std::set<std::string> groups;
  for (const auto& arm : arms) groups.insert(arm.group);
  if (groups.size() == arms.size()) return tables;
  const std::map<std::string, std::vector<std::string>> keys = {
      {"forgetting", {"phase", "data", "against"}},
      {"shift_mri", {"phase", "layer"}},
      {"eval_mri", {"phase", "data", "layer"}},
      {"saturation", {"layer", "k", "data", "from", "to", "from_run"}},
      {"drops", {"phase", "data", "layer"}},
      {"throughput", {}},
      {"tokens_to_loss", {"data", "reference", "beyond_noise"}},
      {"routers", router_table_keys()}};
  const size_t n_tables = tables.size();
  for (size_t i = 0; i < n_tables; ++i) {
    if (!keys.contains(tables[i].first)) continue;  // warnings are no figures
    auto summary = summarize(tables[i].second, keys.at(tables[i].first), arms);
    tables.emplace_back(tables[i].first + "_summary", std::move(summary));
  }
  return tables;
}

}  // namespace evenkeel::study
