// Objectives: what a sequence is made of from the text of a sample, and what of it is scored. A kind is one file in
// data/objectives and one line in its registry. `objective` of a [[phase]] chooses one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/kinds.h"
#include "data/batch.h"
#include "data/indexed_dataset.h"

namespace evenkeel::data {

// The stream of a set from one of its tokens on.
struct Text {
  const IndexedDataset& dataset;
  int64_t first = 0;
};

class Objective {
 public:
  virtual ~Objective() = default;
  // Rows to be filled; with document_ids where they are asked for.
  virtual Batch rows(int64_t n_rows, int64_t length, bool document_ids) const = 0;
  // Row `row`: a sequence made of `text`, which has a token more than the row is long.
  virtual void fill(const Text& text, int64_t row, Batch& batch) const = 0;
  virtual Json options() const = 0;  // every option with its value, for resolved.json
};

// What an objective is made for.
struct ObjectivePlace {
  int64_t sequence_length = 0;
};
using ObjectiveFactory = KindFactory<Objective, ObjectivePlace>;
using ObjectiveKind = Kind<Objective, ObjectivePlace>;
inline constexpr KindTable kObjectiveTable{"phase.objective", "causal"};

const std::vector<ObjectiveKind>& objective_kinds();  // in the order of the registry
// `config`: the `objective` of a phase; empty: the default. ConfigError names unknown kinds and keys.
std::unique_ptr<Objective> make_objective(const ConfigNode& config, const ObjectivePlace& place);
std::vector<ConfigKey> objective_keys(const std::string& path);  // of all kinds

}  // namespace evenkeel::data
