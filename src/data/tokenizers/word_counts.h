// How often each word stands in a text, in bounded memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/tokenizers/pair_growth.h"
#include "data/tokenizers/vocabulary.h"

namespace evenkeel::data {

// Words of one id have no pair and are left out. A longer word than kMostWordIds is counted as several, of which each
// goes on where the one before ends. Where the words have more than `most_ids` ids together, the rarest are forgotten:
// first those that stood once, then those that stood twice, and so on until at most half of the ids is left.
class WordCounts {
 public:
  static constexpr size_t kMostWordIds = 256;
  static constexpr size_t kMostIds = size_t{1} << 24;  // some 2 GB while pairs are counted

  explicit WordCounts(size_t most_ids = kMostIds) : most_ids_(most_ids) {}
  void add(std::span<const int32_t> ids);
  std::vector<CountedWord> take();                      // in the order of their ids
  int64_t n_forgotten() const { return n_forgotten_; }  // distinct words

 private:
  void add_part(std::span<const int32_t> ids);
  void forget();
  size_t most_ids_, n_ids_ = 0;
  int64_t n_forgotten_ = 0;
  std::unordered_map<std::string, int64_t, TextHash, std::equal_to<>> counts_;  // by the bytes of the ids
};

}  // namespace evenkeel::data
