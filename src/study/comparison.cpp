#include "study/comparison.h"

#include <algorithm>
#include <set>

#include "model/layout.h"
#include "optim/rate_factors.h"
#include "train/recipe_changes.h"
#include "train/shift_sets.h"

namespace evenkeel::study {
namespace {

// Keys in which arms with a router differ from the first of them, besides the seed, the routing itself, and what does
// not bear on the parameters.
std::vector<std::string> other_differences(const std::vector<train::Arm>& arms) {
  const train::Arm* first = nullptr;
  std::vector<std::string> out;
  for (const auto& arm : arms) {
    if (!train::arm_model(arm).is_moe()) continue;
    if (first == nullptr) first = &arm;
    for (const auto& change : train::changed_keys(train::bearing_on_parameters(first->resolved),
                                                  train::bearing_on_parameters(arm.resolved))) {
      const std::string key = change.substr(0, change.find(": "));
      if (!is_routing_key(key) && key != "train.seed" && std::find(out.begin(), out.end(), key) == out.end())
        out.push_back(key);
    }
  }
  return out;
}

}  // namespace

bool shifts_data(const train::Arm& arm) {
  const size_t n_phases = arm.resolved.at("phase").size();
  if (n_phases == 1) {
    const auto sets = train::shift_sets(arm);
    return train::comes_from_elsewhere(arm) && sets.old_data != sets.new_data;
  }
  return !train::draws_the_same(arm, 0, n_phases - 1);
}

double replay_fraction(const train::Arm& arm) {
  return train::replay_fraction_of(arm.resolved.at("phase").as_array().back());
}

bool has_replay(const train::Arm& arm) {
  const auto& phases = arm.resolved.at("phase").as_array();
  return std::any_of(phases.begin(), phases.end(),
                     [](const Json& phase) { return train::replay_fraction_of(phase) > 0; });
}

void FlopMatch::add(double flops_per_token) {
  least = least == 0 ? flops_per_token : std::min(least, flops_per_token);
  most = std::max(most, flops_per_token);
}

double training_flops_per_token(const train::Arm& arm) {
  return model::training_flops_per_token(train::arm_model(arm),
                                         arm.resolved.at("train").at("sequence_length").as_int());
}

std::string recipe_without_replay(const train::Arm& arm) {
  Json recipe = train::bearing_on_parameters(arm.resolved);
  recipe["train"].erase("seed");
  for (auto& phase : recipe["phase"].as_array()) phase.erase("replay");
  return recipe.dump();
}

bool seeds_share_start(const std::vector<train::Arm>& arms) {
  std::set<std::pair<std::string, std::string>> known;  // group and start
  return std::any_of(arms.begin(), arms.end(), [&](const train::Arm& arm) {
    if (!train::comes_from_elsewhere(arm)) return false;
    const Json* from = arm.resolved.at("model").find("from");
    const Json& start = arm.resolved.at("phase").at(0).at("start");
    return !known.emplace(arm.group, (from == nullptr ? Json() : *from).dump() + start.dump()).second;
  });
}

std::string budget_of(const train::Arm& arm) {
  Json out = Json::array();
  for (const auto& phase : arm.resolved.at("phase").as_array()) {
    Json data = Json::array();
    for (const auto& source : phase.at("data").as_array())
      data.push_back(Json::Array{source.at("name"), source.at("weight")});
    out.push_back(Json::Array{data, phase.at("tokens")});
  }
  return out.dump();
}

bool is_routing_key(const std::string& key) {
  const auto matches = [&](const char* pattern) { return optim::matches_pattern(key, pattern); };
  return matches("model.router*") || matches("model.balance*") || matches("model.capacity*");
}

RoutingWords routing_words(const train::Arm& arm) {
  const auto config = train::arm_model(arm);
  RoutingWords out{"none", "none", "none", "none"};
  if (!config.is_moe()) return out;
  std::string balance;
  for (const auto& term : config.balance.terms)
    add_to_list(balance, term.loss.text() + " " + format_double(term.coefficient));
  out.router = moe::make_router(config.router_shape(), config.router)->options().at("kind").as_string();
  if (!balance.empty()) out.balance = balance;
  if (config.balance.z_coefficient > 0) out.z_loss = format_double(config.balance.z_coefficient);
  out.capacity = config.capacity.rule;
  return out;
}

Json comparison_json(const std::vector<train::Arm>& arms) {
  FlopMatch match;
  for (const auto& arm : arms) match.add(training_flops_per_token(arm));
  Json differences = Json::array();
  for (const auto& key : other_differences(arms)) differences.push_back(key);
  const Json flops = Json::Object{
      {"least", match.least}, {"most", match.most}, {"tolerance", FlopMatch::kTolerance}, {"matched", match.holds()}};
  return Json::Object{
      {"flops_per_token", flops}, {"other_differences", differences}, {"seeds_share_start", seeds_share_start(arms)}};
}

}  // namespace evenkeel::study
