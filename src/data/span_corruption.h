// A text with spans of noise as inputs and targets, and both as a decoder is fed with them.
#pragma once

#include "data/example.h"

namespace evenkeel::data {

struct InputsAndTargets {
  std::vector<int64_t> inputs, targets;
};
// Each span of noise becomes a sentinel in the inputs, and each run without noise one in the targets, so that the
// tokens of noise stand there behind the sentinel that stands for them. The first sentinel has the id first_sentinel,
// the next ones are one lower each. `is_noise` is as long as the text and begins with a token that is none.
InputsAndTargets corrupted(std::span<const int64_t> text, const std::vector<bool>& is_noise, int64_t first_sentinel);

struct DecoderFeed {
  int64_t bos = 0;
  bool prefix_attention = false;  // the inputs see each other
};
// [bos] [inputs] [targets but the last], and of each what follows it, where that is a target: as many tokens as inputs
// and targets together.
Example decoder_example(const InputsAndTargets& pair, const DecoderFeed& feed);

}  // namespace evenkeel::data
