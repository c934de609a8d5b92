#include "data/tokenizers/token_text.h"

#include "data/tokenizers/vocabulary.h"
#include "data/utf8.h"

namespace evenkeel::data {

std::string shown_bytes(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const size_t valid = valid_utf8_bytes(bytes);
    out += bytes.substr(0, valid);
    bytes.remove_prefix(valid);
    if (bytes.empty()) break;
    out += byte_token(static_cast<unsigned char>(bytes[0]));
    bytes.remove_prefix(1);
  }
  return out;
}

std::string with_spaces(std::string_view token) {
  constexpr std::string_view kSpace = "\u2581";
  std::string out(token);
  for (size_t at = out.find(kSpace); at != out.npos; at = out.find(kSpace, at + 1)) out.replace(at, kSpace.size(), " ");
  return out;
}

}  // namespace evenkeel::data
