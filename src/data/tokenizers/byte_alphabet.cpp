#include "data/tokenizers/byte_alphabet.h"

#include <array>

#include "data/tokenizers/code_points.h"

namespace evenkeel::data {
namespace {

// Bytes that are printable in Latin-1 stand for themselves, the others for 256, 257, ... in order.
constexpr bool is_itself(int byte) { return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD); }

struct Alphabet {
  std::array<char32_t, 256> characters = {};
  std::array<int, 512> bytes = {};  // by character, -1: none
};
constexpr Alphabet make_alphabet() {
  Alphabet out;
  out.bytes.fill(-1);
  char32_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t character = is_itself(byte) ? static_cast<char32_t>(byte) : next++;
    out.characters[static_cast<size_t>(byte)] = character;
    out.bytes[character] = byte;
  }
  return out;
}
constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

void append_byte_character(std::string& out, unsigned char byte) {
  const char32_t c = kAlphabet.characters[byte];
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

std::string in_byte_alphabet(std::string_view bytes) {
  std::string out;
  out.reserve(2 * bytes.size());
  for (const char byte : bytes) append_byte_character(out, static_cast<unsigned char>(byte));
  return out;
}

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); at += utf8_bytes(text[at])) {
    const char32_t character = first_code_point(text.substr(at));
    if (character >= kAlphabet.bytes.size() || kAlphabet.bytes[character] < 0) return std::nullopt;
    out += static_cast<char>(kAlphabet.bytes[character]);
  }
  return out;
}

}  // namespace evenkeel::data
