#include "data/noise_mask.h"

#include <algorithm>
#include <cmath>

namespace evenkeel::data {
namespace {

// nearbyint rounds halves to even in the rounding mode that a process begins with.
int64_t rounded(double value) { return static_cast<int64_t>(std::nearbyint(value)); }

// Lengths of n_parts non-empty parts of n_items: of the n_items - 1 places between two items, n_parts - 1 are borders,
// chosen one after the other with the chance that is left (Knuth, The Art of Computer Programming 2, 3.4.2, algorithm
// S).
std::vector<int64_t> random_parts(int64_t n_items, int64_t n_parts, RngStream& rng) {
  std::vector<int64_t> out;
  int64_t length = 1, borders_left = n_parts - 1;
  for (int64_t places_left = n_items - 1; places_left > 0; --places_left, ++length) {
    if (static_cast<int64_t>(rng.below(static_cast<uint64_t>(places_left))) >= borders_left) continue;
    --borders_left;
    out.push_back(length);
    length = 0;
  }
  out.push_back(length);
  return out;
}

}  // namespace

NoiseCounts noise_counts(int64_t n_tokens, double density, double mean_span) {
  NoiseCounts out;
  out.tokens = std::clamp<int64_t>(rounded(static_cast<double>(n_tokens) * density), 1, n_tokens - 1);
  const int64_t most = std::min(out.tokens, n_tokens - out.tokens);
  out.spans = std::clamp<int64_t>(rounded(static_cast<double>(out.tokens) / mean_span), 1, most);
  return out;
}

std::vector<bool> random_spans_mask(int64_t n_tokens, NoiseCounts noise, RngStream& rng) {
  const auto noise_lengths = random_parts(noise.tokens, noise.spans, rng);
  const auto other_lengths = random_parts(n_tokens - noise.tokens, noise.spans, rng);
  std::vector<bool> out;
  for (size_t span = 0; span < noise_lengths.size(); ++span) {
    out.insert(out.end(), static_cast<size_t>(other_lengths[span]), false);
    out.insert(out.end(), static_cast<size_t>(noise_lengths[span]), true);
  }
  return out;
}

}  // namespace evenkeel::data
