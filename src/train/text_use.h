// How much text the sequences of an objective take, and how many sequences a text is. What is drawn is drawn as in
// training. Text is read where scored tokens are counted; an objective may look at the set to find it.
#pragma once

#include "data/sampler.h"

namespace evenkeel::train {

struct TextUse {
  // On average of a sequence:
  double tokens = 0;         // of text that it has
  double advance = 0;        // how far it moves the stream on, which is passed over whatever an objective takes of it
  bool is_estimate = false;  // of an objective whose sequences take more or less, by what is drawn
};
// Over one pass, or its first 65,536 sequences. `shuffle`: of the phase.
TextUse text_use(const data::IndexedDataset& dataset, const data::Objective& objective,
                 const data::SamplerOptions& options, bool shuffle);

// Places that an evaluation by an objective feeds, padding among them, of the whole set or, above 0, until `max_tokens`
// are scored; about, of many sequences.
double evaluated_tokens(const data::IndexedDataset& dataset, const data::Objective& objective, int64_t sequence_length,
                        int64_t max_tokens);

}  // namespace evenkeel::train
