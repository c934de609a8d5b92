// Which examples a sequence is made of, and the sequence that they make.
#pragma once

#include "data/objectives/objective.h"

namespace evenkeel::data {

struct DrawnExample {
  ExampleId id = {};
  TextPiece text = {};
};

// Where a sequence draws.
struct SequencePlace {
  const Objective& objective;
  const TextStream& stream;
  int64_t sequence_length = 0;
};
// The examples of the next sequence, from the cursor on, which is moved behind them: one, or, of an objective that
// packs, as many as fit, until the first that does not. None where the text ends. No text is read. std::logic_error
// where the objective takes more than a sequence has, or nothing.
std::vector<DrawnExample> draw_examples(const SequencePlace& place, TextCursor& cursor);

// `document_ids`: the documents of the text are kept apart; packed examples are whatever it says, and hide those of
// their text. std::logic_error where an example is not as the objective said.
Example make_sequence(const SequencePlace& place, std::span<const DrawnExample> examples, bool document_ids);

}  // namespace evenkeel::data
