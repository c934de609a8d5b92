// How much text the sequences of an objective take, and how many sequences a text is. What is drawn is drawn as in
// training, without reading text; an objective may look at the set to find it.
#pragma once

#include "data/sampler.h"

namespace evenkeel::train {

struct TextUse {
  double tokens = 0;         // of text that a sequence takes, on average
  bool is_estimate = false;  // of an objective whose sequences take more or less, by what is drawn
};
// Over one pass, or its first 65,536 sequences. `shuffle`: of the phase.
TextUse text_use(const data::IndexedDataset& dataset, const data::Objective& objective,
                 const data::SamplerOptions& options, bool shuffle);

// Places that an evaluation of the whole set by an objective feeds, padding among them; about, of a long set.
double evaluated_tokens(const data::IndexedDataset& dataset, const data::Objective& objective, int64_t sequence_length);

}  // namespace evenkeel::train
