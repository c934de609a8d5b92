#include "moe/capacity_config.h"

#include <cmath>

#include "core/got_at.h"

namespace evenkeel::moe {
namespace {

constexpr Named<Rounding> kRoundings[] = {{"ceil", Rounding::ceil},
                                          {"ceil_fp32", Rounding::ceil_fp32},
                                          {"floor", Rounding::floor},
                                          {"half_even", Rounding::half_even},
                                          {"floor_to_even", Rounding::floor_to_even},
                                          {"floor_of_ceil", Rounding::floor_of_ceil}};
constexpr Named<Priority> kPriorities[] = {{"position", Priority::position},
                                           {"first_choices", Priority::first_choices},
                                           {"best_first", Priority::best_first},
                                           {"probs", Priority::probs},
                                           {"random", Priority::random}};
constexpr Named<Grouping> kGroupings[] = {{"cut", Grouping::cut}, {"flaxformer", Grouping::flaxformer}};

}  // namespace

std::span<const Named<Rounding>> names_of(Rounding) { return kRoundings; }
std::span<const Named<Priority>> names_of(Priority) { return kPriorities; }
std::span<const Named<Grouping>> names_of(Grouping) { return kGroupings; }
void read_value(const ConfigNode& node, const std::string& path, Renormalize& out) {
  const auto* flag = std::get_if<bool>(&node.value);
  const std::string text = node.is_string() ? std::get<std::string>(node.value) : "";
  const bool is_known = (flag != nullptr && !*flag) || text == "before" || text == "after";
  require<ConfigError>(is_known, got_at(node.where, path), node.shown(), "; need false, \"before\" or \"after\"");
  out = text == "before" ? Renormalize::before : text == "after" ? Renormalize::after : Renormalize::none;
}
Json to_json(Renormalize value) {
  if (value == Renormalize::none) return false;
  return value == Renormalize::before ? "before" : "after";
}

// Factors and minima are the sources' defaults; Megatron has none for the factor.
namespace {
using R = Rounding;
using P = Priority;
const std::vector<CapacityRule> kRules = {
    {"Megatron-LM, drop policy \"probs\"",
     {.rule = "megatron-probs", .rounding = R::ceil, .times_k = true, .priority = P::probs}},
    {"Megatron-LM, drop policy \"position\", here by position",
     {.rule = "megatron-position", .rounding = R::ceil, .times_k = true, .priority = P::position}},
    {"MegaBlocks with a capacity factor",
     {.rule = "megablocks", .rounding = R::floor, .times_k = true, .priority = P::position}},
    {"Switch Transformer (arXiv 2101.03961) as in flaxformer",
     {.rule = "switch",
      .factor_train = 1.25,
      .factor_eval = 2,
      .minimum = 4,
      .rounding = R::half_even,
      .times_k = false,
      .priority = P::first_choices}},
    {"the same with batch prioritised routing (V-MoE, arXiv 2106.05974)",
     {.rule = "bpr",
      .factor_train = 1.25,
      .factor_eval = 2,
      .minimum = 4,
      .rounding = R::half_even,
      .times_k = false,
      .priority = P::best_first}},
    {"OpenMoE (arXiv 2402.01739): the same as switch in groups of 4096 tokens",
     {.rule = "openmoe",
      .factor_train = 1.25,
      .factor_eval = 2,
      .minimum = 4,
      .rounding = R::half_even,
      .times_k = false,
      .group_size = 4096,
      .grouping = Grouping::flaxformer,
      .priority = P::first_choices}},
    {"ColossalAI, also its port of OpenMoE",
     {.rule = "colossalai",
      .factor_train = 1.25,
      .factor_eval = 2,
      .minimum = 4,
      .rounding = R::floor_to_even,
      .times_k = true,
      .priority = P::first_choices}},
    {"DeepSpeed's top-1 gate with random token selection",
     {.rule = "deepspeed-rts",
      .minimum = 4,
      .rounding = R::ceil_fp32,
      .times_k = true,
      .priority = P::random,
      .renormalize = Renormalize::after}},
    {"DeepSpeed's top-2 gate",
     {.rule = "deepspeed-top2",
      .minimum = 4,
      .rounding = R::ceil_fp32,
      .times_k = true,
      .priority = P::first_choices,
      .renormalize = Renormalize::after}},
    {"Tutel",
     {.rule = "tutel",
      .rounding = R::floor_of_ceil,
      .times_k = true,
      .priority = P::first_choices,
      .renormalize = Renormalize::before}},
};
}  // namespace
const std::vector<CapacityRule>& capacity_rules() { return kRules; }

CapacityConfig capacity_rule(const std::string& name, const std::string& where) {
  if (name == "none") return {};
  std::vector<std::string> names = {"none"};
  for (const auto& rule : capacity_rules()) {
    if (name == rule.config.rule) return rule.config;
    names.push_back(rule.config.rule);
  }
  std::string all;
  for (const auto& known : names) add_to_list(all, known);
  const std::string nearest = nearest_name(name, names);
  fail<ConfigError>(got_at(where, "model.capacity.rule"), "'", name, "'; need one of: ", all,
                    nearest.empty() ? "" : " (did you mean '" + nearest + "'?)");
}

namespace {

void check_ranges(const CapacityConfig& config, const ConfigNode& node, const std::string& path) {
  const auto check = [&](bool holds, const char* key, const auto& value, const std::string& need) {
    require<ConfigError>(holds, got_at(place_of(node, key), join_path(path, key)), value, "; need ", need);
  };
  constexpr double kMaxFactor = 1e6;
  constexpr int64_t kMaxTokens = int64_t{1} << 31;
  const auto check_factor = [&](const char* key, double factor) {
    const bool can_be_0 = config.rounding == Rounding::floor || config.rounding == Rounding::floor_of_ceil;
    const bool can_be_negative = config.rounding == Rounding::floor_of_ceil;
    const bool holds =
        std::abs(factor) <= kMaxFactor && (factor > 0 || (factor == 0 && can_be_0) || (factor < 0 && can_be_negative));
    check(holds, key, factor,
          can_be_negative ? "-1e6..1e6"
          : can_be_0      ? "0..1e6 (0 = no limit)"
                          : "more than 0, at most 1e6 (rule \"none\" is dropless)");
  };
  check_factor("factor_train", config.factor_train);
  check_factor("factor_eval", config.factor_eval);
  check(config.minimum >= 0 && config.minimum < kMaxTokens, "minimum", config.minimum, "0 or more");
  check(config.group_size >= 0 && config.group_size < kMaxTokens, "group_size", config.group_size,
        "0 (no groups) or more");
  check(config.grouping == Grouping::cut || config.group_size >= 1, "group_size", config.group_size,
        "at least 1 with " + path + ".grouping = \"flaxformer\"");
}

}  // namespace

void read_value(const ConfigNode& node, const std::string& path, CapacityConfig& out) {
  if (!node.is_table()) fail_kind(node, path, "a table such as {rule = \"switch\", factor_train = 1.25}");
  out = {};
  if (node.table().empty()) return;
  const ConfigNode* rule = node.find("rule");
  std::string name;
  if (rule == nullptr) {
    evenkeel::read_value<CapacityConfig>(node, path, out);  // an unknown key is the first thing to say
    fail<ConfigError>(node.where, ": got ", path,
                      " without a rule; need rule = \"none\" or a published rule, as rule = \"switch\"");
  }
  evenkeel::read_value(*rule, join_path(path, "rule"), name);
  out = capacity_rule(name, rule->where);
  evenkeel::read_value<CapacityConfig>(node, path, out);
  if (out.is_dropless()) {
    for (const auto& [key, child] : node.table())
      require<ConfigError>(key == "rule", child.where, ": got ", path, ".", key, " with ", path,
                           ".rule = \"none\"; need a rule that drops");
    return;
  }
  check_ranges(out, node, path);
}

Json to_json(const CapacityConfig& config) {
  if (config.is_dropless()) return Json::Object{{"rule", config.rule}};
  return evenkeel::to_json<CapacityConfig>(config);
}

void list_keys(const CapacityConfig&, const std::string& path, std::vector<ConfigKey>& out) {
  std::vector<ConfigKey> keys;
  for (const auto& rule : capacity_rules()) {
    std::vector<ConfigKey> of_rule;
    evenkeel::list_keys<CapacityConfig>(rule.config, path, of_rule);
    add_keys_of_kind(keys, std::move(of_rule), rule.config.rule);
  }
  name_kinds(keys, join_path(path, "rule"));
  out.insert(out.end(), keys.begin(), keys.end());
}

void check_capacity(const CapacityConfig& config, const RouterShape& shape, const RouterTraits& router,
                    const std::string& where) {
  if (config.is_dropless()) return;
  require<ConfigError>(router.exactly_k, got_at(where, "model.capacity.rule"), "'", config.rule,
                       "' with a router that does not give every token ", shape.top_k,
                       " experts; need rule = \"none\": such a router has limits of its own");
  const double choices = config.times_k ? static_cast<double>(shape.top_k) : 1.0;
  for (const double factor : {config.factor_train, config.factor_eval})
    require<ConfigError>(!config.pad || std::abs(factor) * choices <= static_cast<double>(shape.n_experts), where,
                         ": got model.capacity.pad with a factor of ", factor,
                         ", which is more rows an expert than there are tokens; need at most ",
                         static_cast<double>(shape.n_experts) / choices, " (n_experts",
                         config.times_k ? " / top_k)" : ")");
}

std::optional<int64_t> expert_capacity(const CapacityConfig& config, Mode mode, int64_t n_tokens,
                                       const RouterShape& shape) {
  if (config.is_dropless()) return std::nullopt;
  const double factor = mode == Mode::train ? config.factor_train : config.factor_eval;
  const int64_t choices = config.times_k ? shape.top_k : 1;
  const bool can_be_0 = config.rounding == Rounding::floor || config.rounding == Rounding::floor_of_ceil;
  if (can_be_0 && factor == 0) return std::nullopt;  // no limit, whatever the minimum
  const auto T = static_cast<double>(n_tokens), E = static_cast<double>(shape.n_experts),
             k = static_cast<double>(choices);
  double capacity = 0;
  switch (config.rounding) {
    case Rounding::ceil: capacity = std::ceil(k * T / E * factor); break;
    case Rounding::ceil_fp32: capacity = std::ceil(static_cast<float>(T / E) * static_cast<float>(factor * k)); break;
    case Rounding::floor: capacity = std::floor(factor * (k * T / E)); break;
    case Rounding::half_even:
      capacity = std::nearbyint(k * factor * T / E);
      break;  // the rounding mode is to nearest even
    case Rounding::floor_to_even:
      capacity = std::floor(k * factor * T / E);
      if (std::fmod(capacity, 2) == 1) capacity += 1;
      break;
    case Rounding::floor_of_ceil: capacity = k * std::floor(std::abs(factor) * std::ceil(T / E)); break;
  }
  const auto result = std::max(static_cast<int64_t>(capacity), config.minimum);
  if (config.rounding == Rounding::floor && result == 0) return std::nullopt;
  return result;
}

CapacityTraits capacity_traits(const CapacityConfig& config, int64_t top_k) {
  if (config.is_dropless()) return {};
  const bool by_position =
      config.priority == Priority::position || (config.priority == Priority::first_choices && top_k == 1);
  return {Scope::micro_batch, Scope::sequence, by_position};
}

}  // namespace evenkeel::moe
