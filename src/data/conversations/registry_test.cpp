#include "core/errors.h"
#include "data/conversations/chat_template.h"
#include "data/conversations/jinja_form.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

TEST(ChatTemplates, AreFoundByName) {
  EXPECT_EQ(known_chat_templates(), "chatml, llama3, plain");
  for (const auto& each : chat_templates()) EXPECT_EQ(&chat_template_named(each.name), &each);
  EXPECT_THAT(message_of<ConfigError>([] { chat_template_named("chatlm"); }),
              testing::HasSubstr("--template: got 'chatlm'; need one of: chatml, llama3, plain"));
}

// What holds for every template: roles and contents are in it, and what is scored is the assistant's, with an end.
TEST(ChatTemplates, ScoreTheAssistantsContentAndItsEnd) {
  const std::vector<Message> messages = {
      {Role::system, "SYS"}, {Role::user, "USR"}, {Role::assistant, "ONE"}, {Role::user, "USR"}, {Role::assistant, ""}};
  for (const auto& each : chat_templates()) {
    std::string scored, all;
    int n_ends = 0;
    for (const auto& part : each.lay_out(messages)) {
      all += part.text;
      const bool is_text = part.kind == Part::Kind::text;
      if (part.is_scored && is_text) scored += part.text;
      if (part.is_scored && !is_text) ++n_ends;
      if (part.kind == Part::Kind::control) {
        EXPECT_EQ(std::count(each.control_tokens.begin(), each.control_tokens.end(), part.text), 1) << part.text;
      } else if (!is_text) {
        EXPECT_TRUE(each.uses_end_of_document);
      }
    }
    EXPECT_EQ(scored, "ONE") << each.name;
    EXPECT_EQ(n_ends, 2) << each.name;
    for (const char* text : {"SYS", "USR", "ONE", "system", "user", "assistant"})
      EXPECT_NE(all.find(text), std::string::npos) << each.name << " " << text;
    EXPECT_FALSE(each.published.empty());
    for (const auto& published : each.published) EXPECT_NE(jinja_form(published, each.bos_token), "") << published;
  }
}

}  // namespace
}  // namespace evenkeel::data
