#include "core/rng.h"

#include <bit>
#include <cmath>
#include <numbers>

namespace evenkeel {

uint64_t hash_text(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

uint64_t combine_bits(uint64_t left, uint64_t right) { return mix_bits(mix_bits(left + kSplitMixStep) ^ right); }

RngStream::RngStream(uint64_t seed, std::string_view purpose, uint64_t index)
    : state_(combine_bits(combine_bits(seed, hash_text(purpose)), index)) {}

uint64_t RngStream::next() {
  state_ += kSplitMixStep;
  return mix_bits(state_);
}

uint64_t RngStream::below(uint64_t bound) {
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;  // a multiple of bound
  for (;;) {
    const uint64_t value = next();
    if (value < limit) return value % bound;
  }
}

double RngStream::uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

double RngStream::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  const double angle = 2.0 * std::numbers::pi * uniform();
  spare_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

uint64_t permuted_index(uint64_t index, uint64_t size, uint64_t key) {
  if (size <= 2) return size == 2 ? index ^ (mix_bits(key) & 1) : 0;
  const int half_bits =
      (static_cast<int>(std::bit_width(size - 1)) + 1) / 2;  // bit_width returns uint64_t before GCC 13
  const uint64_t half_ones = (uint64_t{1} << half_bits) - 1;
  uint64_t value = index;
  do {  // expected fewer than four turns: the domain is at most four times the size
    uint64_t left = value >> half_bits;
    uint64_t right = value & half_ones;
    for (uint64_t round = 0; round < 4; ++round) {
      const uint64_t next_right = left ^ (combine_bits(key + round, right) & half_ones);
      left = right;
      right = next_right;
    }
    value = left << half_bits | right;
  } while (value >= size);
  return value;
}

}  // namespace evenkeel
