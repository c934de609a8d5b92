// Objectives: what a sequence is made of from the text of a source, and what of it is scored. A kind is one file in
// data/objectives and one line in its registry. `objective` of a [[phase]], or of a source of it, chooses one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/kinds.h"
#include "data/example.h"

namespace evenkeel::data {

// Ids that an objective puts beside those of the text.
struct AddedIds {
  struct Marker {
    std::string key;  // of the objective: bos
    int64_t id = 0;
  };
  int64_t lowest_sentinel = 0, highest_sentinel = -1;  // which stand for text, so that no text may have them
  std::vector<Marker> markers = {};
  bool has_sentinels() const { return lowest_sentinel <= highest_sentinel; }
};

class Objective {
 public:
  virtual ~Objective() = default;
  // How many tokens of text the example takes; at the end of a held-out set there may be fewer, but not fewer than
  // least_text_tokens().
  virtual int64_t text_tokens(const ExampleId& id) const = 0;
  virtual int64_t least_text_tokens() const { return 1; }
  // How many tokens of a sequence the example of so much text is: 1 .. sequence_length.
  virtual int64_t length(const ExampleId&, int64_t n_tokens) const { return n_tokens; }
  // The text of the example, when it is drawn at `position`: text_tokens(id) of the stream, or what is left of it. None
  // where that is too little.
  virtual std::optional<TextPiece> find_text(const ExampleId& id, const TextStream& stream, int64_t position) const;
  // The example, a pure function of its arguments. `text` has as many tokens as find_text says.
  virtual Example example(const ExampleId& id, const Text& text) const = 0;
  // Whether a sequence has as many examples as fit, each a segment of its own, or one alone.
  virtual bool packs() const { return false; }
  // Whether its examples have a prefix, or segments that the text does not name: attention must then take masks.
  virtual bool needs_masks() const { return false; }
  // DataError where a set cannot be drawn from; `where`: what named the set. It may read the set.
  virtual void check_set(const IndexedDataset& set, const std::string& where) const;
  // What a user should know of a set that can be drawn from: what of it is passed over or cut. "" for nothing. It may
  // read the set.
  virtual std::string warning_of_set(const IndexedDataset&) const { return ""; }
  virtual AddedIds added_ids() const { return {}; }
  virtual Json options() const = 0;  // every option with its value, for resolved.json
  std::string kind() const { return options().at("kind").as_string(); }
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
// `config`: the `objective` of a phase, a source or a held-out set; empty: the default. ConfigError names unknown kinds
// and keys.
std::unique_ptr<Objective> make_objective(const ConfigNode& config, const ObjectivePlace& place);
std::vector<ConfigKey> objective_keys(const std::string& path);  // of all kinds

}  // namespace evenkeel::data
