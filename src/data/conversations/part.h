// A conversation as a template lays it out: texts and control tokens one after the other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::data {

struct Part {
  enum class Kind : uint8_t {
    text,             // as it is: what looks like a control token in it is none
    control,          // a token, by its name
    end_of_document,  // the end-of-document id
  };
  Kind kind = Kind::text;
  std::string text;  // or the token's name
  bool is_scored = false;
  bool operator==(const Part&) const = default;
};

// The parts as one document: each begins with a byte that no UTF-8 has and that says its kind. `unpacked` undoes it.
std::string packed(const std::vector<Part>& parts);
std::vector<Part> unpacked(std::string_view document);

}  // namespace evenkeel::data
