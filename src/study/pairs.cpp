#include "study/pairs.h"

#include <algorithm>
#include <map>
#include <set>

#include "optim/rate_factors.h"
#include "study/comparison.h"
#include "train/recipe_changes.h"

namespace evenkeel::study {
namespace {

using train::Arm;

constexpr size_t kMostGroups = 64;  // of more than these nobody reads a sentence each

std::string aspect_of(const std::string& key) {
  const auto matches = [&](const char* pattern) { return optim::matches_pattern(key, pattern); };
  if (is_routing_key(key)) return "routing";
  if (matches("model.*")) return "shape";
  if (matches("phase.*.replay*")) return "replay";
  if (matches("phase.*.schedule*")) return "schedule";
  if (matches("phase.*.data*")) return "data";
  return matches("phase.*.steps") || matches("phase.*.tokens") ? "length" : key;
}

// A key whose value differs.
struct Change {
  std::string key, before, after;
};

// By aspect, besides the seed.
std::map<std::string, std::vector<Change>> changes_between(const Arm& base, const Arm& other) {
  std::map<std::string, std::vector<Change>> out;
  for (const auto& change :
       train::changed_keys(train::bearing_on_parameters(base.resolved), train::bearing_on_parameters(other.resolved))) {
    const size_t colon = change.find(": "), arrow = change.find(" -> ", colon);
    const std::string key = change.substr(0, colon);
    if (key != "train.seed")
      out[aspect_of(key)].push_back({key, change.substr(colon + 2, arrow - colon - 2), change.substr(arrow + 4)});
  }
  return out;
}

std::string in_place(const std::string& what, const std::string& now, const std::string& before) {
  return what + " " + now + " in place of " + before;
}

// In words where there are some, else by key.
std::string difference_of(const Arm& base, const Arm& other, const std::string& aspect,
                          const std::vector<Change>& changes) {
  std::vector<std::string> parts;
  bool has_kind = false;
  if (aspect == "routing") {
    const auto before = routing_words(base), now = routing_words(other);
    has_kind = before.router != now.router;
    if (has_kind) parts.push_back(in_place("router", now.router, before.router));
    if (before.balance != now.balance) parts.push_back(in_place("balance loss", now.balance, before.balance));
    if (before.z_loss != now.z_loss) parts.push_back(in_place("z-loss", now.z_loss, before.z_loss));
    if (before.capacity != now.capacity) parts.push_back(in_place("capacity", now.capacity, before.capacity));
  }
  for (const auto& change : changes)
    if (aspect != "routing" || (!has_kind && change.key.starts_with("model.router")))
      parts.push_back(in_place(change.key, change.after, change.before));
  for (const auto& change : changes)
    if (parts.empty())
      parts.push_back(in_place(change.key, change.after,
                               change.before));  // a setting of a loss or capacity that its words leave out
  std::string out;
  for (const auto& part : parts) out += (out.empty() ? "" : "; ") + part;
  return out;
}

// "routing, model.d_expert and replay": keys of what has no word of its own.
std::string all_of(const std::map<std::string, std::vector<Change>>& aspects) {
  std::vector<std::string> names;
  for (const auto& [aspect, changes] : aspects) {
    if (aspect != "shape") names.push_back(aspect == "length" ? "length of the phases" : aspect);
    if (aspect == "shape")
      for (const auto& change : changes) names.push_back(change.key);
  }
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) out += (i == 0 ? "" : i + 1 < names.size() ? ", " : " and ") + names[i];
  return out;
}

struct Group {
  const Arm* first = nullptr;
  std::map<int64_t, const Arm*> by_seed;
};

std::vector<Group> groups_of(const std::vector<Arm>& arms) {
  std::vector<Group> out;
  for (const auto& arm : arms) {
    auto group =
        std::find_if(out.begin(), out.end(), [&](const Group& known) { return known.first->group == arm.group; });
    if (group == out.end()) group = out.insert(out.end(), Group{&arm, {}});
    group->by_seed.emplace(seed_of(arm), &arm);
  }
  return out;
}

std::vector<std::pair<const Arm*, const Arm*>> runs_of(const Group& base, const Group& other) {
  std::vector<std::pair<const Arm*, const Arm*>> out;
  for (const auto& [seed, arm] : other.by_seed)
    if (const auto found = base.by_seed.find(seed); found != base.by_seed.end()) out.emplace_back(found->second, arm);
  return out;
}

std::optional<Pair> pair_of(const Group& base, const Group& other) {
  auto runs = runs_of(base, other);
  if (runs.empty()) return std::nullopt;
  const auto changes = changes_between(*base.first, *other.first);
  if (changes.size() != 1) return std::nullopt;
  const auto& [aspect, keys] = *changes.begin();
  return Pair{base.first->group, other.first->group, aspect, difference_of(*base.first, *other.first, aspect, keys),
              std::move(runs)};
}

// Whether `base` may be what `other` is compared with; positions are in the order of the study.
bool may_compare(const Group& base, size_t base_position, const Group& other, size_t position,
                 const std::string& aspect) {
  if (aspect != "replay") return base_position < position;
  const double fraction = replay_fraction(*other.first);
  if (fraction <= 0 || fraction >= 1 || replay_fraction(*base.first) >= 1) return false;
  return !has_replay(*base.first) || base_position < position;
}

}  // namespace

std::vector<Pair> pairs_of(const std::vector<Arm>& arms) {
  const auto groups = groups_of(arms);
  std::vector<Pair> out;
  if (groups.size() > kMostGroups) return out;
  for (size_t i = 0; i < groups.size(); ++i) {
    std::map<std::string, Pair> by_aspect;
    for (size_t j = 0; j < groups.size(); ++j) {
      auto pair = i == j ? std::nullopt : pair_of(groups[j], groups[i]);
      if (!pair || !may_compare(groups[j], j, groups[i], i, pair->aspect)) continue;
      const auto known = by_aspect.find(pair->aspect);
      const bool is_plainer =
          known != by_aspect.end() && has_replay(*known->second.runs[0].first) && !has_replay(*groups[j].first);
      if (known == by_aspect.end() || is_plainer) by_aspect[pair->aspect] = std::move(*pair);
    }
    for (auto& [aspect, pair] : by_aspect) out.push_back(std::move(pair));
  }
  return out;
}

std::optional<Pair> pair_of(const std::vector<Arm>& arms, const std::string& base, const std::string& other) {
  const auto groups = groups_of(arms);
  const auto found = [&](const std::string& name) {
    return std::find_if(groups.begin(), groups.end(), [&](const Group& group) { return group.first->group == name; });
  };
  const auto left = found(base), right = found(other);
  return left == groups.end() || right == groups.end() ? std::nullopt : pair_of(*left, *right);
}

std::vector<std::string> unpaired_notes(const std::vector<Arm>& arms, const std::vector<Pair>& pairs) {
  const auto groups = groups_of(arms);
  std::vector<std::string> out;
  if (groups.size() > kMostGroups) return out;
  std::set<std::string> known;
  for (const auto& pair : pairs) known.insert({pair.base, pair.other});
  for (const auto& group : groups) {
    if (known.contains(group.first->group) || !train::arm_model(*group.first).is_moe()) continue;
    const Group* nearest = nullptr;
    std::map<std::string, std::vector<Change>> least;
    for (const auto& other : groups) {
      if (&other == &group || !train::arm_model(*other.first).is_moe() || runs_of(other, group).empty()) continue;
      auto changes = changes_between(*other.first, *group.first);
      if (nearest != nullptr && changes.size() >= least.size()) continue;
      nearest = &other;
      least = std::move(changes);
    }
    if (nearest == nullptr || least.size() < 2 || known.contains(nearest->first->group + "\n" + group.first->group))
      continue;
    known.insert(group.first->group + "\n" + nearest->first->group);
    out.push_back(group.first->group + " differs from " + nearest->first->group + ", the arm nearest to it, in " +
                  all_of(least) + " at once: no difference between the two has one cause.");
  }
  return out;
}

}  // namespace evenkeel::study
