#include <gtest/gtest.h>

#include "data/conversations/chat_template.h"

namespace evenkeel::data {

ChatTemplate plain_chat_template();

namespace {

// Texts as they are, [control tokens], {the end of the document}, and «what is scored».
std::string laid_out(const std::vector<Message>& messages) {
  std::string out;
  for (const auto& part : plain_chat_template().lay_out(messages)) {
    const std::string text = part.kind == Part::Kind::text      ? part.text
                             : part.kind == Part::Kind::control ? "[" + part.text + "]"
                                                                : "{}";
    out += part.is_scored ? "«" + text + "»" : text;
  }
  return out;
}

TEST(Plain, EndsEachAnswerWithTheEndOfTheDocument) {
  EXPECT_EQ(laid_out({{Role::user, "U"}, {Role::assistant, "A"}, {Role::user, "V\n"}, {Role::assistant, ""}}),
            "user:\nU\nassistant:\n«A»«{}»\nuser:\nV\n\nassistant:\n«»«{}»");
}

}  // namespace
}  // namespace evenkeel::data
