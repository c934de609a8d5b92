#include "data/packing.h"

#include <stdexcept>

namespace evenkeel::data {

std::vector<DrawnExample> draw_examples(const SequencePlace& place, TextCursor& cursor) {
  const Objective& objective = place.objective;
  std::vector<DrawnExample> out;
  int64_t room = place.sequence_length;
  do {
    const int64_t position = place.stream.position(cursor);
    const ExampleId id{place.stream.seed(), cursor.examples, place.stream.epoch_of(position)};
    const auto text = objective.find_text(id, place.stream, position);
    if (!text) break;
    if (text->length < 1 || text->length > place.sequence_length)
      throw std::logic_error("an objective takes more than a sequence has, or nothing");
    if (text->length > room) break;
    out.push_back({id, *text});
    room -= text->length;
    place.stream.advance(cursor, text->end);
  } while (objective.packs() && room > 0);
  return out;
}

Example make_sequence(const SequencePlace& place, std::span<const DrawnExample> examples, bool document_ids) {
  const Objective& objective = place.objective;
  std::vector<Example> made;
  for (const auto& example : examples) {
    const Text text = place.stream.read(example.text, document_ids && !objective.packs());
    made.push_back(objective.example(example.id, text));
    if (static_cast<int64_t>(made.back().tokens.size()) != example.text.length)
      throw std::logic_error("an example is longer or shorter than its objective says");
  }
  Example out = objective.packs() ? packed(made) : std::move(made.front());
  const bool has_own_documents = !out.document_ids.empty() && !document_ids;
  if ((!out.is_prefix.empty() || has_own_documents || objective.packs()) && !objective.needs_masks())
    throw std::logic_error("an objective needs masks and does not say so");
  return out;
}

}  // namespace evenkeel::data
