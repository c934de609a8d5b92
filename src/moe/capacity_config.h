// [model.capacity]: how many assignments an expert takes, and which come first. The published rules are named
// presets; every difference between them is a key. Legend: T tokens of a group, E experts, k experts a token,
// f the capacity factor.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/config_keys.h"
#include "moe/router.h"

namespace evenkeel::moe {

// The capacity C before `minimum`; k = 1 without times_k. The order of the operations in fp64 is the source's:
// it decides on which side of a whole number a product comes to lie.
enum class Rounding {
  ceil,           // ceil((k T / E) f)                           Megatron
  ceil_fp32,      // ceil((T / E) (k f)) with fp32 numbers       DeepSpeed
  floor,          // floor(f (k T / E)); 0 = no limit            MegaBlocks
  half_even,      // round((k f) T / E), halves to even          flaxformer
  floor_to_even,  // floor((k f) T / E), + 1 when odd            ColossalAI
  floor_of_ceil   // k floor(|f| ceil(T / E)); f <= 0: no limit, but for f < 0 the least that is enough   Tutel
};

// Who comes first at an expert. Equals go to the earlier token.
enum class Priority {
  position,       // the earlier token, whichever choice the expert is of it
  first_choices,  // all first choices by position, then all second choices, ...
  best_first,     // the same, the tokens by their largest score (batch prioritised routing, arXiv 2106.05974)
  probs,          // the larger weight
  random          // a random order of each expert's assignments
};

enum class Grouping {
  cut,        // group_size places after each other, the last group may be shorter; each has the C of its own tokens
  flaxformer  // the fewest equal groups of about group_size tokens whose number E divides; tokens padded to that for C
};

// Whether the weights of a token are divided by their sum (at least the dtype's epsilon); nothing at k = 1.
enum class Renormalize {
  none,
  before,  // before drops, over the k experts (Tutel)
  after    // after drops, over those that are left (DeepSpeed)
};

struct CapacityConfig {
  std::string rule = "none";  // a name of capacity_rules(); none: dropless
  double factor_train = 1;
  double factor_eval = 1;
  int64_t minimum = 0;
  Rounding rounding = Rounding::ceil;
  bool times_k = true;
  int64_t group_size = 0;
  Grouping grouping = Grouping::cut;
  Priority priority = Priority::position;
  bool pad = false;
  Renormalize renormalize = Renormalize::none;

  static void visit_fields(auto& config, auto&& field) {
    field("rule", config.rule,
          {"none, or the published rule that the other keys start from", "", "required in the table"});
    field("factor_train", config.factor_train,
          {"capacity over the even share of the tokens, in training", "even shares"});
    field("factor_eval", config.factor_eval, {"the same in evaluation", "even shares"});
    field("minimum", config.minimum, {"least capacity", "assignments"});
    field("rounding", config.rounding, "ceil, ceil_fp32, floor, half_even, floor_to_even or floor_of_ceil");
    field("times_k", config.times_k, "the even share is that of the k T assignments, not of the T tokens");
    field("group_size", config.group_size,
          {"tokens that share a capacity; 0 = all of the micro-batch (evaluation: of the sequence)", "tokens"});
    field("grouping", config.grouping, "cut or flaxformer");
    field("priority", config.priority, "position, first_choices, best_first, probs or random");
    field("pad", config.pad, "every expert runs exactly its capacity, with rows of weight 0");
    field("renormalize", config.renormalize, "false, \"before\" or \"after\" drops");
  }
  bool is_dropless() const { return rule == "none"; }
  bool operator==(const CapacityConfig&) const = default;
};
// The rule's preset with the keys of `node` above it; an empty table is dropless. ConfigError for keys without a
// rule, unknown names and values outside their range.
void read_value(const ConfigNode& node, const std::string& path, CapacityConfig& out);
Json to_json(const CapacityConfig& config);  // every key; reads back to the same
void list_keys(const CapacityConfig& config, const std::string& path,
               std::vector<ConfigKey>& out);  // of every rule, with its defaults

std::span<const Named<Rounding>> names_of(Rounding);
std::span<const Named<Priority>> names_of(Priority);
std::span<const Named<Grouping>> names_of(Grouping);
void read_value(const ConfigNode& node, const std::string& path, Renormalize& out);
Json to_json(Renormalize value);
inline std::string type_of(Renormalize) { return "false or string"; }

struct CapacityRule {
  const char* help;  // with the source
  CapacityConfig config;
};
// Every rule but none, in the order of the documentation.
const std::vector<CapacityRule>& capacity_rules();
// The preset of a name, also none. ConfigError "WHERE: ..." when there is none of that name.
CapacityConfig capacity_rule(const std::string& name, const std::string& where);

// ConfigError "WHERE: ..." when the model cannot have this capacity: a router that gives no k experts to each
// token, or padding to more rows than there are tokens.
void check_capacity(const CapacityConfig& config, const RouterShape& shape, const RouterTraits& router,
                    const std::string& where);

// Assignments that an expert takes of a group of n_tokens; nothing: as many as choose it.
std::optional<int64_t> expert_capacity(const CapacityConfig& config, Mode mode, int64_t n_tokens,
                                       const RouterShape& shape);

// What holds for a rule; tests/contract searches for counterexamples of each.
struct CapacityTraits {
  Scope train_scope = Scope::token;  // what a drop looks at, or its group within that
  Scope eval_scope = Scope::token;
  bool is_causal = true;  // no drop depends on a later token
};
CapacityTraits capacity_traits(const CapacityConfig& config, int64_t top_k);

}  // namespace evenkeel::moe
