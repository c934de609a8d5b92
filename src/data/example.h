// Examples: what a model is trained on, each made of a piece of text, the sequence of several, and the batch of several
// sequences.
#pragma once

#include <span>
#include <vector>

#include "data/batch.h"
#include "data/text_stream.h"

namespace evenkeel::data {

// Which example. All that is random in it is drawn from `seed` and `number`, so that it is the same in a batch of any
// size, after a resume, and where a later phase replays it.
struct ExampleId {
  uint64_t seed = 0;   // of the run and the set
  int64_t number = 0;  // how many examples were drawn of the set before, in all phases
  int64_t epoch = 0;   // how many passes over the set are complete
};

// One example, or one sequence. The parts are as those of a Batch, of equal length; document_ids and is_prefix may be
// empty.
struct Example {
  std::vector<int64_t> tokens, targets;
  std::vector<int32_t> document_ids = {};
  std::vector<bool> is_prefix = {};
};
// The examples one behind the other, each a document of its own. A part is there where one of them has it; document_ids
// that they have themselves are not looked at.
Example packed(std::span<const Example> examples);

// A row for each example, `length` tokens long. What an example leaves over is padding: it has no target and, where
// documents are kept apart, is a document of its own. A part that no example has is undefined; where some have it, the
// others are one document without a prefix. std::logic_error for an example that is longer, or whose parts differ in
// length.
Batch batch_of(std::span<const Example> examples, int64_t length);

}  // namespace evenkeel::data
