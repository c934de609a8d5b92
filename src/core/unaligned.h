// Numbers that lie in bytes at any address, little-endian as on every machine that evenkeel runs on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace evenkeel {

// Number `index` of those that begin at `from`.
template <class T>
T load_unaligned(const std::byte* from, int64_t index = 0) {
  T value;
  std::memcpy(&value, from + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

}  // namespace evenkeel
