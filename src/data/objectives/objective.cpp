#include "data/objectives/objective.h"

#include <algorithm>

namespace evenkeel::data {

std::optional<TextPiece> Objective::find_text(const ExampleId& id, const TextStream& stream, int64_t position) const {
  const int64_t n_tokens = std::min(text_tokens(id), stream.end() - position);
  const bool is_short = n_tokens < text_tokens(id);
  if (is_short && n_tokens < least_text_tokens()) return std::nullopt;
  return TextPiece{.begin = position, .end = position + n_tokens, .n_tokens = n_tokens, .length = length(id, n_tokens)};
}

void Objective::check_set(const IndexedDataset&, const std::string&) const {}

}  // namespace evenkeel::data
