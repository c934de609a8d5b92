#include "train/text_use.h"

namespace evenkeel::train {
namespace {

constexpr int64_t kMostSequences = 1 << 16;

struct Drawn {
  int64_t sequences = 0;
  double text = 0;  // tokens
};
// Until the text is at `end`, or kMostSequences.
Drawn draw(const data::SequencePlace& place, int64_t end) {
  data::TextCursor cursor;
  Drawn out;
  while (out.sequences < kMostSequences && place.stream.position(cursor) < end) {
    if (data::draw_examples(place, cursor).empty()) break;
    ++out.sequences;
  }
  out.text = static_cast<double>(place.stream.position(cursor));
  return out;
}

}  // namespace

TextUse text_use(const data::IndexedDataset& dataset, const data::Objective& objective,
                 const data::SamplerOptions& options, bool shuffle) {
  const int64_t S = options.sequence_length;
  const data::TextStream stream(dataset, S, {options.seed, shuffle});
  const auto drawn = draw({objective, stream, S}, stream.n_blocks() * S);
  if (drawn.sequences == 0) return {static_cast<double>(S), objective.packs()};
  return {drawn.text / static_cast<double>(drawn.sequences), objective.packs()};
}

double evaluated_tokens(const data::IndexedDataset& dataset, const data::Objective& objective,
                        int64_t sequence_length) {
  const auto stream = data::TextStream::once(dataset, 0);
  const auto drawn = draw({objective, stream, sequence_length}, stream.end());
  const auto S = static_cast<double>(sequence_length);
  const double fed = S * static_cast<double>(drawn.sequences);
  const bool is_cut = drawn.sequences == kMostSequences && drawn.text > 0;
  return is_cut ? fed * static_cast<double>(stream.end()) / drawn.text : fed;
}

}  // namespace evenkeel::train
