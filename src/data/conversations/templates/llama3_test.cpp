#include <gtest/gtest.h>

#include "data/conversations/chat_template.h"

namespace evenkeel::data {

ChatTemplate llama3_chat_template();

namespace {

// Texts as they are, [control tokens], {the end of the document}, and «what is scored».
std::string laid_out(const std::vector<Message>& messages) {
  std::string out;
  for (const auto& part : llama3_chat_template().lay_out(messages)) {
    const std::string text = part.kind == Part::Kind::text      ? part.text
                             : part.kind == Part::Kind::control ? "[" + part.text + "]"
                                                                : "{}";
    out += part.is_scored ? "«" + text + "»" : text;
  }
  return out;
}

TEST(Llama3, IsAsPublished) {
  EXPECT_EQ(laid_out({{Role::user, " U \n"},
                      {Role::assistant,
                       "\u00a0\u2003A\x1c"
                       "b\u3000\x1f"}}),
            "[<|begin_of_text|>][<|start_header_id|>]user[<|end_header_id|>]\n\nU[<|eot_id|>]"
            "[<|start_header_id|>]assistant[<|end_header_id|>]\n\n«A\x1c"
            "b»«[<|eot_id|>]»");
  EXPECT_EQ(laid_out({{Role::assistant, " \n "}}),
            "[<|begin_of_text|>][<|start_header_id|>]assistant[<|end_header_id|>]\n\n«»«[<|eot_id|>]»");
}

}  // namespace
}  // namespace evenkeel::data
