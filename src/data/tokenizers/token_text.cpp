#include "data/tokenizers/token_text.h"

#include "data/tokenizers/vocabulary.h"
#include "data/utf8.h"

namespace evenkeel::data {

std::string shown_bytes(std::string_view bytes) {
  return with_invalid_mended(bytes, [](std::string_view rest, std::string& out) {
    out += byte_token(static_cast<unsigned char>(rest[0]));
    return size_t{1};
  });
}

std::string with_spaces(std::string_view token) {
  constexpr std::string_view kSpace = "\u2581";
  std::string out(token);
  for (size_t at = out.find(kSpace); at != out.npos; at = out.find(kSpace, at + 1)) out.replace(at, kSpace.size(), " ");
  return out;
}

}  // namespace evenkeel::data
