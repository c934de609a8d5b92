// Random numbers that depend only on (seed, purpose, index): no state to save, the same on every machine.
#pragma once

#include <cstdint>
#include <string_view>

namespace evenkeel {

uint64_t hash_text(std::string_view text);  // FNV-1a, 64 bit
uint64_t mix_bits(uint64_t value);          // SplitMix64's finalizer: a bijection
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
