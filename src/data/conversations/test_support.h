// What the tests of the chat templates share.
#pragma once

#include <string>
#include <vector>

#include "data/conversations/chat_template.h"

namespace evenkeel::data {

// Texts as they are, [control tokens], {the end of the document}, and «what is scored».
inline std::string laid_out(const ChatTemplate& chat_template, const std::vector<Message>& messages) {
  std::string out;
  for (const auto& part : chat_template.lay_out(messages)) {
    const std::string text = part.kind == Part::Kind::text      ? part.text
                             : part.kind == Part::Kind::control ? "[" + part.text + "]"
                                                                : "{}";
    out += part.is_scored ? "«" + text + "»" : text;
  }
  return out;
}

}  // namespace evenkeel::data
