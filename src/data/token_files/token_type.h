// How a token id is stored in a file: the types that other trainers use, little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::data {

enum class TokenType { u8, u16, u32, i32, i64 };

const char* name_of(TokenType type);  // "u16"
std::optional<TokenType> token_type_of(std::string_view name);
std::string token_type_names();   // "u8, u16, …"
int64_t size_of(TokenType type);  // bytes
int64_t largest_of(TokenType type);
// u16 where it holds the id, else u32.
TokenType type_for(int64_t largest_id);

// Calls with a value of the type: for_type(type, [&](auto zero) { using T = decltype(zero); … }).
template <class F>
auto for_type(TokenType type, F&& call) {
  switch (type) {
    case TokenType::u8: return call(uint8_t{});
    case TokenType::u16: return call(uint16_t{});
    case TokenType::u32: return call(uint32_t{});
    case TokenType::i32: return call(int32_t{});
    case TokenType::i64: break;
  }
  return call(int64_t{});
}

// Ids as they lie in a file, at any address.
struct StoredIds {
  const std::byte* first = nullptr;
  TokenType type = TokenType::u16;
  int64_t count = 0;
};
struct IdBounds {
  int64_t smallest = INT64_MAX, largest = INT64_MIN;  // of no ids
  void add(const IdBounds& other);
  bool are_within(int64_t least, int64_t most) const { return smallest >= least && largest <= most; }
};
IdBounds bounds_of(const StoredIds& ids);
// The first id outside least .. most; `ids` has one.
struct PlacedId {
  int64_t index, id;
};
PlacedId first_outside(const StoredIds& ids, int64_t least, int64_t most);
void copy_ids(const StoredIds& ids, int32_t* out);  // ids that fit
// The reverse: the bytes of `count` ids, which fit, as they are stored.
std::string stored(const int64_t* ids, int64_t count, TokenType type);

}  // namespace evenkeel::data
