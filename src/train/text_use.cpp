#include "train/text_use.h"

#include <algorithm>

namespace evenkeel::train {
namespace {

constexpr int64_t kMostSequences = 1 << 16;
constexpr int64_t kMostMade = 1 << 12;  // sequences whose text is read

struct Drawn {
  int64_t sequences = 0;
  int64_t tokens = 0;    // of text, before `end`
  int64_t position = 0;  // of the stream, at most `end`
};
// Until the stream is at `end`, or kMostSequences. The last sequence may go on behind it.
Drawn draw(const data::SequencePlace& place, int64_t end) {
  data::TextCursor cursor;
  Drawn out;
  while (out.sequences < kMostSequences && place.stream.position(cursor) < end) {
    const auto examples = data::draw_examples(place, cursor);
    if (examples.empty()) break;
    for (const auto& [id, text] : examples)
      if (text.begin < end) out.tokens += text.in_file ? text.n_tokens : std::min(text.end, end) - text.begin;
    ++out.sequences;
  }
  out.position = std::min(place.stream.position(cursor), end);
  return out;
}

double fed_by_all(const data::SequencePlace& place) {
  const auto drawn = draw(place, place.stream.end());
  const auto n_sequences = static_cast<double>(drawn.sequences), S = static_cast<double>(place.sequence_length);
  const bool is_cut = drawn.sequences == kMostSequences && drawn.position > 0;
  return S * n_sequences * (is_cut ? static_cast<double>(place.stream.end()) / static_cast<double>(drawn.position) : 1);
}

// What is scored of an example is known when it is made.
double fed_until(const data::SequencePlace& place, int64_t max_tokens) {
  data::TextCursor cursor;
  int64_t n_sequences = 0, n_scored = 0;
  while (n_scored < max_tokens && n_sequences < kMostMade) {
    const auto drawn = data::draw_examples(place, cursor);
    if (drawn.empty()) break;
    const auto made = data::make_sequence(place, drawn, /*document_ids=*/false);
    n_scored += std::count_if(made.targets.begin(), made.targets.end(), [](int64_t target) { return target >= 0; });
    ++n_sequences;
  }
  const bool is_cut = n_sequences == kMostMade && n_scored > 0 && n_scored < max_tokens;
  return static_cast<double>(place.sequence_length * n_sequences) *
         (is_cut ? static_cast<double>(max_tokens) / static_cast<double>(n_scored) : 1);
}

}  // namespace

TextUse text_use(const data::IndexedDataset& dataset, const data::Objective& objective,
                 const data::SamplerOptions& options, bool shuffle) {
  const int64_t S = options.sequence_length;
  const data::TextStream stream(dataset, S, {options.seed, shuffle});
  const auto drawn = draw({objective, stream, S}, stream.n_blocks() * S);
  const auto n_sequences = static_cast<double>(drawn.sequences);
  if (drawn.sequences == 0) return {static_cast<double>(S), static_cast<double>(S), objective.packs()};
  return {static_cast<double>(drawn.tokens) / n_sequences, static_cast<double>(drawn.position) / n_sequences,
          objective.packs()};
}

double evaluated_tokens(const data::IndexedDataset& dataset, const data::Objective& objective, int64_t sequence_length,
                        int64_t max_tokens) {
  const auto stream = data::TextStream::once(dataset, 0);
  const data::SequencePlace place{objective, stream, sequence_length};
  const double all = fed_by_all(place);
  return max_tokens > 0 ? std::min(all, fed_until(place, max_tokens)) : all;
}

}  // namespace evenkeel::train
