#include "data/tokenizers/piece_trie.h"

#include <algorithm>

#include "core/errors.h"

namespace evenkeel::data {

PieceTrie::PieceTrie(std::vector<std::pair<std::string_view, int32_t>> pieces) {
  std::sort(pieces.begin(), pieces.end());
  grow(kBytes);
  units_[0].above = kRoot;
  first_free_ = 1;
  std::vector<Part> open = {{0, 0, pieces.size(), 0}};
  std::vector<unsigned char> bytes;
  std::vector<size_t> begins;
  while (!open.empty()) {
    auto [node, begin, end, depth] = open.back();
    open.pop_back();
    for (; begin < end && pieces[begin].first.size() == depth; ++begin) units_[node].id = pieces[begin].second;
    if (begin == end) continue;
    bytes.clear();
    begins.clear();
    for (size_t i = begin; i < end; ++i) {
      const auto byte = static_cast<unsigned char>(pieces[i].first[depth]);
      if (!bytes.empty() && bytes.back() == byte) continue;
      bytes.push_back(byte);
      begins.push_back(i);
    }
    const uint32_t base = free_base(bytes);
    units_[node].base = base;
    for (const unsigned char byte : bytes) units_[base + byte].above = node;
    for (size_t i = bytes.size(); i-- > 0;)
      open.push_back({base + bytes[i], begins[i], i + 1 < begins.size() ? begins[i + 1] : end, depth + 1});
  }
}

// Where the units of all bytes are free. The search begins behind what is nearly full, so that it stays short.
uint32_t PieceTrie::free_base(const std::vector<unsigned char>& bytes) {
  size_t at = std::max<size_t>(first_free_, size_t{bytes[0]} + 1), n_taken = 0, n_seen = 0;
  for (;; ++at) {
    if (at + kBytes >= units_.size()) grow(2 * units_.size());
    ++n_seen;
    if (units_[at].above != kNone) {
      ++n_taken;
      continue;
    }
    const size_t base = at - bytes[0];
    if (std::all_of(bytes.begin(), bytes.end(), [&](auto byte) { return units_[base + byte].above == kNone; })) {
      if (20 * n_taken >= 19 * n_seen) first_free_ = static_cast<uint32_t>(at);
      return static_cast<uint32_t>(base);
    }
  }
}

// Room for every byte behind every base.
void PieceTrie::grow(size_t size) {
  require<DataError>(size < kRoot, "vocabulary: got more than ", units_.size(),
                     " bytes of different tokens; need less than ", kRoot);
  units_.resize(size);
}

}  // namespace evenkeel::data
