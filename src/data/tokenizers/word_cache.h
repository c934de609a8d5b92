// The ids of words that were encoded before. Of bounded size: a word takes the place of another with the same slot.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace evenkeel::data {

uint64_t hash_of_word(std::string_view word);

class WordCache {
 public:
  static constexpr size_t kMostBytes = 32, kMostIds = 8;  // of a word that is kept

  WordCache() : slots_(kSlots) {}
  static bool keeps(std::string_view word) { return word.size() <= kMostBytes; }
  // Whether the word is there; its ids are then appended.
  bool append(std::string_view word, uint64_t hash, std::vector<int32_t>& ids) const {
    const Slot& slot = slots_[hash % kSlots];
    if (slot.hash != hash || slot.n_bytes != word.size() ||
        std::memcmp(slot.bytes.data(), word.data(), word.size()) != 0)
      return false;
    ids.insert(ids.end(), slot.ids.begin(), slot.ids.begin() + slot.n_ids);
    return true;
  }
  void keep(std::string_view word, uint64_t hash, std::span<const int32_t> ids) {
    if (ids.size() > kMostIds) return;
    Slot& slot = slots_[hash % kSlots];
    slot.hash = hash;
    slot.n_bytes = static_cast<uint8_t>(word.size());
    slot.n_ids = static_cast<uint8_t>(ids.size());
    std::memcpy(slot.bytes.data(), word.data(), word.size());
    std::copy(ids.begin(), ids.end(), slot.ids.begin());
  }

 private:
  static constexpr size_t kSlots = size_t{1} << 16;
  struct Slot {
    uint64_t hash = 0;
    uint8_t n_bytes = UINT8_MAX, n_ids = 0;  // bytes: more than a word may have, where the slot is empty
    std::array<char, kMostBytes> bytes = {};
    std::array<int32_t, kMostIds> ids = {};
  };
  std::vector<Slot> slots_;
};

}  // namespace evenkeel::data
