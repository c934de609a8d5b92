// Objectives: what a sequence is made of from the text of a sample, and what of it is scored. A kind is one file in
// data/objectives and one line in its registry. `objective` of a [[phase]] chooses one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/kinds.h"
#include "data/example.h"

namespace evenkeel::data {

class Objective {
 public:
  virtual ~Objective() = default;
  // How many tokens of its sample the example is made of: 1 .. sequence_length.
  virtual int64_t text_tokens(const ExampleId& id) const = 0;
  // The example, a pure function of its arguments, at most sequence_length long. `text` has text_tokens(id) tokens and
  // the one that follows them.
  virtual Example example(const ExampleId& id, const Text& text) const = 0;
  // Whether its examples have a prefix, or documents that `text` does not name: attention must then take masks.
  virtual bool needs_masks() const { return false; }
  virtual Json options() const = 0;  // every option with its value, for resolved.json
};

// What an objective is made for.
struct ObjectivePlace {
  int64_t sequence_length = 0;
  int64_t vocab_size = 0;  // of the model: what a kind adds to the text, such as sentinels, has ids below it
};
using ObjectiveFactory = KindFactory<Objective, ObjectivePlace>;
using ObjectiveKind = Kind<Objective, ObjectivePlace>;
inline constexpr KindTable kObjectiveTable{"phase.objective", "causal"};

const std::vector<ObjectiveKind>& objective_kinds();  // in the order of the registry
// `config`: the `objective` of a phase; empty: the default. ConfigError names unknown kinds and keys.
std::unique_ptr<Objective> make_objective(const ConfigNode& config, const ObjectivePlace& place);
std::vector<ConfigKey> objective_keys(const std::string& path);  // of all kinds

}  // namespace evenkeel::data
