// The list of objectives. To add one: its file in data/objectives, one line here, its test beside.
#include "data/objectives/objective.h"

#define EVENKEEL_OBJECTIVES(X)                                                            \
  X(causal, "each token is scored by the one that follows it")                            \
  X(prefix_lm, "the same behind a prefix of random length")                               \
  X(span_corruption, "spans are taken out of the text, and scored behind it")             \
  X(ul2, "span corruption of several kinds, and text that is cut in two, in one mixture") \
  X(conversation, "conversations whole, of which the answers are scored")

namespace evenkeel::data {

#define X(name, help) ObjectiveFactory name##_objective();
EVENKEEL_OBJECTIVES(X)
#undef X

const std::vector<ObjectiveKind>& objective_kinds() {
#define X(name, help) {#name, help, name##_objective()},
  static const std::vector<ObjectiveKind> kinds = {EVENKEEL_OBJECTIVES(X)};
#undef X
  return kinds;
}

std::unique_ptr<Objective> make_objective(const ConfigNode& config, const ObjectivePlace& place) {
  if (!config.is_empty() && !config.is_table())
    fail_kind(config, kObjectiveTable.path, "a table such as {kind = \"causal\"}");
  return chosen_kind(objective_kinds(), kObjectiveTable, config).factory.make(place, config);
}

std::vector<ConfigKey> objective_keys(const std::string& path) { return keys_of_kinds(objective_kinds(), path); }

}  // namespace evenkeel::data
