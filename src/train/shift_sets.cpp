#include "train/shift_sets.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "core/json_difference.h"
#include "core/json_value.h"

namespace evenkeel::train {

double replay_fraction_of(const Json& phase) {
  const Json* replay = find_value(phase, "replay");
  return replay == nullptr ? 0.0 : replay->at("fraction").as_double();
}

namespace {

struct NamedSet {
  std::string name, path;
};

std::vector<NamedSet> sets_of(const Json& sources) {
  std::vector<NamedSet> out;
  for (const auto& source : sources.as_array())
    out.push_back({source.at("name").as_string(), source.at("path").as_string()});
  return out;
}

// Whether a source of a phase is trained on: a sequence was drawn of it, or, before the phase has begun and where its
// steps do not say it, one would be by its share of the phase. A weight alone says nothing: of 1e-9 none comes.
bool is_drawn(const Arm& arm, size_t phase, const Json& source) {
  if (phase < arm.phases.size())
    if (const auto& drawn = arm.phases[phase].drawn(); !drawn.empty()) {
      const auto found = drawn.find(source.at("name").as_string());
      return found != drawn.end() && found->second > 0;
    }
  const Json& recipe = arm.resolved.at("phase").at(phase);
  double weights = 0;
  for (const auto& each : recipe.at("data").as_array()) weights += each.at("weight").as_double();
  const auto sequences =
      static_cast<double>(recipe.at("steps").as_int() * arm.resolved.at("train").at("batch_size").as_int());
  return (1 - replay_fraction_of(recipe)) * sequences * source.at("weight").as_double() >= weights;
}

// The sources that a phase trains on, its replay aside; of a phase that is replay alone all that it has.
std::vector<NamedSet> trained_sets(const Arm& arm, size_t phase) {
  const Json& data = arm.resolved.at("phase").at(phase).at("data");
  std::vector<NamedSet> out;
  for (const auto& source : data.as_array())
    if (is_drawn(arm, phase, source)) out.push_back({source.at("name").as_string(), source.at("path").as_string()});
  return out.empty() ? sets_of(data) : out;
}

// The share of each source that a phase trains on, by name and file.
std::map<std::pair<std::string, std::string>, double> trained_shares(const Arm& arm, size_t phase) {
  std::map<std::pair<std::string, std::string>, double> out;
  double weights = 0;
  const auto trained = trained_sets(arm, phase);
  for (const auto& source : arm.resolved.at("phase").at(phase).at("data").as_array()) {
    const std::string &name = source.at("name").as_string(), &path = source.at("path").as_string();
    if (std::none_of(trained.begin(), trained.end(), [&](const NamedSet& set) { return set.name == name; })) continue;
    weights += out[{name, path}] = source.at("weight").as_double();
  }
  for (auto& [source, share] : out) share /= weights;
  return out;
}

// Whether a held-out set tells of a source: it has its name, its file, or is the part of the file that `prepare
// --holdout` kept back.
bool is_of(const NamedSet& held_out, const NamedSet& source) {
  return held_out.name == source.name || held_out.path == source.path || held_out.path == source.path + "-heldout";
}

bool is_of_any(const NamedSet& held_out, const std::vector<NamedSet>& sources) {
  return std::any_of(sources.begin(), sources.end(), [&](const NamedSet& source) { return is_of(held_out, source); });
}

std::vector<NamedSet> evaluated_sets(const Arm& arm) {
  const Json& eval = arm.resolved.at("phase").as_array().back().at("eval");
  return eval.is_null() ? std::vector<NamedSet>() : sets_of(eval.at("data"));
}

// Of a run of one phase on weights that were trained before: the held-out sets that its phase does not train on. What
// the weights had learned is not in its recipe; these sets are what it may forget.
std::vector<NamedSet> held_out_of_before(const Arm& arm, const std::vector<NamedSet>& evaluated) {
  std::vector<NamedSet> out;
  const auto& phases = arm.resolved.at("phase").as_array();
  if (phases.size() > 1 || !comes_from_elsewhere(arm)) return out;
  const auto trained = trained_sets(arm, 0);
  std::copy_if(evaluated.begin(), evaluated.end(), std::back_inserter(out),
               [&](const NamedSet& set) { return !is_of_any(set, trained); });
  return out;
}

}  // namespace

ShiftSets shift_sets(const Arm& arm) {
  const auto& phases = arm.resolved.at("phase").as_array();
  auto first = trained_sets(arm, 0);
  const auto last = trained_sets(arm, phases.size() - 1);
  const auto evaluated = evaluated_sets(arm);
  if (const auto others = held_out_of_before(arm, evaluated); !others.empty()) first = others;
  const auto pick = [&](const std::vector<NamedSet>& sources) {
    for (const auto& source : sources)
      for (const auto& set : evaluated)
        if (is_of(set, source)) return set.name;
    return sources.front().name;
  };
  std::vector<NamedSet> added;
  std::copy_if(last.begin(), last.end(), std::back_inserter(added),
               [&](const NamedSet& source) { return !is_of_any(source, first); });
  return {pick(first), pick(added.empty() ? last : added)};
}

bool trains_on(const Arm& arm, size_t phase, const std::string& set) {
  const auto& phases = arm.resolved.at("phase").as_array();
  const auto sources = trained_sets(arm, phase);
  // What the name stands for is in the evaluations of any phase; without one the name alone counts.
  std::vector<NamedSet> known = {{set, ""}};
  for (const auto& each : phases)
    if (!each.at("eval").is_null())
      for (auto& evaluated : sets_of(each.at("eval").at("data")))
        if (evaluated.name == set) known.push_back(std::move(evaluated));
  return std::any_of(known.begin(), known.end(),
                     [&](const NamedSet& held_out) { return is_of_any(held_out, sources); });
}

bool draws_the_same(const Arm& arm, size_t phase, size_t other) {
  // Weights may be of another scale.
  const auto is_same = [](const auto& a, const auto& b) { return a.first == b.first && is_near(a.second, b.second); };
  const auto shares = trained_shares(arm, phase), others = trained_shares(arm, other);
  return std::equal(shares.begin(), shares.end(), others.begin(), others.end(), is_same);
}

bool is_evaluated(const Arm& arm, const std::string& set) {
  const auto evaluated = evaluated_sets(arm);
  return std::any_of(evaluated.begin(), evaluated.end(), [&](const NamedSet& known) { return known.name == set; });
}

std::string sets_without_evaluation(const Arm& arm) {
  const auto sets = shift_sets(arm);
  std::string out;
  for (const auto& name : std::set<std::string>{sets.old_data, sets.new_data})
    if (!is_evaluated(arm, name)) add_to_list(out, name);
  return out;
}

}  // namespace evenkeel::train
