// Random numbers that depend only on (seed, purpose, index): no state to save, the same on every machine.
#pragma once

#include <cstdint>
#include <string_view>

namespace evenkeel {

uint64_t hash_text(std::string_view text);  // FNV-1a, 64 bit
// SplitMix64: the n-th number is mix_bits(seed + n * step). mix_bits is a bijection.
inline constexpr uint64_t kSplitMixStep = 0x9e3779b97f4a7c15ULL;
inline constexpr uint64_t kSplitMixFactors[] = {0xbf58476d1ce4e5b9ULL, 0x94d049bb133111ebULL};
inline uint64_t mix_bits(uint64_t value) {
  value = (value ^ (value >> 30)) * kSplitMixFactors[0];
  value = (value ^ (value >> 27)) * kSplitMixFactors[1];
  return value ^ (value >> 31);
}
uint64_t combine_bits(uint64_t left, uint64_t right);

class RngStream {
 public:
  RngStream(uint64_t seed, std::string_view purpose, uint64_t index = 0);
  uint64_t next();                 // SplitMix64
  uint64_t below(uint64_t bound);  // uniform in [0, bound), bound >= 1, without bias
  double uniform();                // [0, 1)
  double normal();                 // N(0, 1), Box-Muller

 private:
  uint64_t state_;
  double spare_ = 0.0;
  bool has_spare_ = false;
};

// A seeded permutation of [0, size) that needs no memory: a four-round Feistel network over the next
// even power of two, walked until the value falls inside. size >= 1, index < size.
uint64_t permuted_index(uint64_t index, uint64_t size, uint64_t key);

}  // namespace evenkeel
