#pragma once

#include <cstdint>
#include <vector>

namespace evenkeel::data {

// A document as token ids.
struct EncodedText {
  std::vector<int32_t> ids;
  std::vector<uint8_t> scored;  // 1 or 0 of each id, of a conversation; empty: of text
  int64_t text_bytes = 0;       // that the ids stand for
};

}  // namespace evenkeel::data
