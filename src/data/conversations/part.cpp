#include "data/conversations/part.h"

#include <stdexcept>

namespace evenkeel::data {
namespace {

constexpr unsigned kFirstMark = 0xF8;  // and the five behind it: two for each kind, the second one scored

bool is_mark(char byte) { return static_cast<unsigned char>(byte) >= kFirstMark; }

}  // namespace

std::string packed(const std::vector<Part>& parts) {
  std::string out;
  for (const auto& part : parts) {
    out += static_cast<char>(kFirstMark + 2 * static_cast<unsigned>(part.kind) + (part.is_scored ? 1 : 0));
    out += part.text;
  }
  return out;
}

std::vector<Part> unpacked(std::string_view document) {
  std::vector<Part> out;
  while (!document.empty()) {
    if (!is_mark(document[0])) throw std::logic_error("unpacked: got no parts of a conversation");
    const unsigned mark = static_cast<unsigned char>(document[0]) - kFirstMark;
    size_t end = 1;
    while (end < document.size() && !is_mark(document[end])) ++end;
    out.push_back({static_cast<Part::Kind>(mark / 2), std::string(document.substr(1, end - 1)), mark % 2 == 1});
    document.remove_prefix(end);
  }
  return out;
}

}  // namespace evenkeel::data
