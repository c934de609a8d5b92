// Which tokens of a text are noise, as T5 draws them (arXiv 1910.10683, section 3.1.4;
// google-research/text-to-text-transfer-transformer, t5/data/preprocessors.py, random_spans_noise_mask).
#pragma once

#include <cstdint>
#include <vector>

#include "core/rng.h"

namespace evenkeel::data {

struct NoiseCounts {
  int64_t tokens = 0;  // of noise
  int64_t spans = 0;   // that they are in
};
// Of a text of n_tokens >= 2: tokens = round(n_tokens * density), within 1 .. n_tokens-1, and spans =
// round(tokens / mean_span), at least 1, and at most as many as there are tokens of noise, or of none. Halves are
// rounded to the even number, as Python does.
NoiseCounts noise_counts(int64_t n_tokens, double density, double mean_span);

// True for noise: `spans` runs of it and as many without, in turn, beginning with one without. The lengths of either
// kind are a division of their sum into non-empty parts, each division as probable as the others.
std::vector<bool> random_spans_mask(int64_t n_tokens, NoiseCounts noise, RngStream& rng);

}  // namespace evenkeel::data
