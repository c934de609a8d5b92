// Texts by their bytes, for what asks which of them a text begins with: a double array (Aoe 1989), whose step from a
// byte to the next is one look-up.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::data {

class PieceTrie {
 public:
  PieceTrie() : PieceTrie(std::vector<std::pair<std::string_view, int32_t>>()) {}
  // Texts that are not empty with ids from 0 on. Of equal texts the greatest id.
  explicit PieceTrie(std::vector<std::pair<std::string_view, int32_t>> pieces);

  // Calls take(bytes, id) for each piece that the text begins with, the shortest first.
  template <class Take>
  void each_prefix(std::string_view text, Take&& take) const {
    uint32_t node = 0;
    for (size_t at = 0; at < text.size(); ++at) {
      const uint32_t next = units_[node].base + static_cast<unsigned char>(text[at]);
      if (units_[next].above != node) return;
      node = next;
      if (units_[node].id >= 0) take(at + 1, units_[node].id);
    }
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX, kRoot = kNone - 1, kBytes = 256;
  struct Unit {
    uint32_t base = 0;       // the node below for byte b is at base + b, if its `above` is this node
    uint32_t above = kNone;  // kNone: free, kRoot: it is the first
    int32_t id = -1;         // of the piece that ends here
  };
  // The pieces that begin with the bytes of a node.
  struct Part {
    uint32_t node;
    size_t begin, end, depth;
  };
  uint32_t free_base(const std::vector<unsigned char>& bytes);
  void grow(size_t size);

  std::vector<Unit> units_;
  uint32_t first_free_ = 0;  // below it nearly all are taken
};

}  // namespace evenkeel::data
