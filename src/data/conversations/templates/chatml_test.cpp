#include <gtest/gtest.h>

#include "data/conversations/chat_template.h"

namespace evenkeel::data {

ChatTemplate chatml_chat_template();

namespace {

// Texts as they are, [control tokens], {the end of the document}, and «what is scored».
std::string laid_out(const std::vector<Message>& messages) {
  std::string out;
  for (const auto& part : chatml_chat_template().lay_out(messages)) {
    const std::string text = part.kind == Part::Kind::text      ? part.text
                             : part.kind == Part::Kind::control ? "[" + part.text + "]"
                                                                : "{}";
    out += part.is_scored ? "«" + text + "»" : text;
  }
  return out;
}

TEST(Chatml, IsAsPublished) {
  EXPECT_EQ(laid_out({{Role::system, "S"}, {Role::user, " U\n"}, {Role::assistant, "A"}}),
            "[<|im_start|>]system\nS[<|im_end|>]\n[<|im_start|>]user\n U\n[<|im_end|>]\n"
            "[<|im_start|>]assistant\n«A»«[<|im_end|>]»\n");
}

}  // namespace
}  // namespace evenkeel::data
