// Byte-pair encoding that goes on where a tokenizer stopped (Sennrich et al. 2016, arXiv:1508.07909): the pair of
// neighbours that is most frequent in words that are cut as the old tokenizer cuts them becomes a piece.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace evenkeel::data {

struct CountedWord {
  std::vector<int32_t> ids;
  int64_t count = 0;
};

// Makes a piece of two: its id, or none where the two may not be joined, now or later.
using JoinPieces = std::function<std::optional<int32_t>(int32_t left, int32_t right)>;

// Calls `join` with the pairs in the order in which they are chosen, until `n` pieces are made or no pair is left.
// Returns the number of pieces. Of equally frequent pairs the one with the least ids comes first. A pair that stands
// once is left out. Memory is that of the words' ids, some thirty times at most.
int64_t grow_pairs(std::vector<CountedWord> words, int64_t n, const JoinPieces& join);

}  // namespace evenkeel::data
