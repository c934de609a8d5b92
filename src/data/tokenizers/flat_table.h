// A hash table from 64-bit keys that is filled once and read often: one probe is one cache line mostly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace evenkeel::data {

template <class Value>
class FlatTable {
 public:
  explicit FlatTable(size_t n_expected = 0) { reserve(n_expected); }

  // Replaces the value of a key that is there. key: any but UINT64_MAX.
  void insert(uint64_t key, const Value& value) {
    if (2 * (n_ + 1) > slots_.size()) grow();
    Slot& slot = slots_[place_of(key)];
    if (slot.key == kEmpty) ++n_;
    slot = {key, value};
  }
  const Value* find(uint64_t key) const {
    const Slot& slot = slots_[place_of(key)];
    return slot.key == key ? &slot.value : nullptr;
  }
  size_t size() const { return n_; }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;
  struct Slot {
    uint64_t key = kEmpty;
    Value value{};
  };
  // Of the key, or the empty slot where it would stand.
  size_t place_of(uint64_t key) const {
    size_t at = static_cast<size_t>((key * 0x9E3779B97F4A7C15ULL) >> shift_);
    while (slots_[at].key != key && slots_[at].key != kEmpty) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  void reserve(size_t n) {
    size_t size = 16;
    shift_ = 60;
    while (size < 2 * n) {
      size *= 2;
      --shift_;
    }
    slots_.assign(size, {});
  }
  void grow() {
    std::vector<Slot> old;
    old.swap(slots_);
    reserve(old.size());
    n_ = 0;
    for (const Slot& slot : old)
      if (slot.key != kEmpty) insert(slot.key, slot.value);
  }

  std::vector<Slot> slots_;
  size_t n_ = 0;
  int shift_ = 60;
};

}  // namespace evenkeel::data
