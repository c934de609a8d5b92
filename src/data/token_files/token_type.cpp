#include "data/token_files/token_type.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <stdexcept>

#include "core/errors.h"
#include "core/unaligned.h"

namespace evenkeel::data {
namespace {

struct NamedType {
  const char* name;
  TokenType type;
};
constexpr NamedType kTypes[] = {{"u8", TokenType::u8},
                                {"u16", TokenType::u16},
                                {"u32", TokenType::u32},
                                {"i32", TokenType::i32},
                                {"i64", TokenType::i64}};

}  // namespace

const char* name_of(TokenType type) {
  return std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& each) { return each.type == type; })->name;
}

std::optional<TokenType> token_type_of(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& each) { return each.name == name; });
  return found != std::end(kTypes) ? std::optional(found->type) : std::nullopt;
}

std::string token_type_names() {
  std::string out;
  for (const auto& each : kTypes) add_to_list(out, each.name);
  return out;
}

int64_t size_of(TokenType type) {
  return for_type(type, [](auto zero) { return static_cast<int64_t>(sizeof zero); });
}

int64_t largest_of(TokenType type) {
  return for_type(type, [](auto zero) { return static_cast<int64_t>(std::numeric_limits<decltype(zero)>::max()); });
}

TokenType type_for(int64_t largest_id) {
  return largest_id <= largest_of(TokenType::u16) ? TokenType::u16 : TokenType::u32;
}

void IdBounds::add(const IdBounds& other) {
  smallest = std::min(smallest, other.smallest);
  largest = std::max(largest, other.largest);
}

IdBounds bounds_of(const StoredIds& ids) {
  if (ids.count == 0) return {};
  return for_type(ids.type, [&](auto zero) -> IdBounds {
    using T = decltype(zero);
    T low = std::numeric_limits<T>::max(), high = std::numeric_limits<T>::min();
    for (int64_t i = 0; i < ids.count; ++i) {
      const T id = load_unaligned<T>(ids.first, i);
      low = std::min(low, id);
      high = std::max(high, id);
    }
    return {static_cast<int64_t>(low), static_cast<int64_t>(high)};
  });
}

PlacedId first_outside(const StoredIds& ids, int64_t least, int64_t most) {
  return for_type(ids.type, [&](auto zero) -> PlacedId {
    for (int64_t i = 0; i < ids.count; ++i)
      if (const int64_t id = load_unaligned<decltype(zero)>(ids.first, i); id < least || id > most) return {i, id};
    throw std::logic_error("first_outside: every id is within");
  });
}

void copy_ids(const StoredIds& ids, int32_t* out) {
  for_type(ids.type, [&](auto zero) {
    for (int64_t i = 0; i < ids.count; ++i) out[i] = static_cast<int32_t>(load_unaligned<decltype(zero)>(ids.first, i));
  });
}

std::string stored(const int64_t* ids, int64_t count, TokenType type) {
  std::string out(static_cast<size_t>(count * size_of(type)), '\0');
  for_type(type, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < count; ++i) {
      const T id = static_cast<T>(ids[i]);
      std::memcpy(out.data() + i * static_cast<int64_t>(sizeof(T)), &id, sizeof(T));
    }
  });
  return out;
}

}  // namespace evenkeel::data
