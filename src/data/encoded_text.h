// What encoding makes of a document.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace evenkeel::data {

// The ids that stand around those of a document.
struct Frame {
  std::optional<int32_t> bos, eod;
};

struct EncodedText {
  std::vector<int32_t> ids;
  std::vector<uint8_t> scored;  // 1 or 0 of each id, of a conversation; empty: of text
  int64_t text_bytes = 0;       // that the ids stand for
};

}  // namespace evenkeel::data
