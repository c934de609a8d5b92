#include "data/conversations/message.h"

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

// "user: Hi | assistant: Yes"
std::string read(const std::string& json) {
  std::string out;
  for (const auto& message : read_conversation(Json::parse(json, "test")))
    out += (out.empty() ? "" : " | ") + std::string(name_of(message.role)) + ": " + message.content;
  return out;
}

TEST(ReadConversation, TakesBothShapes) {
  EXPECT_EQ(read(R"([{"role": "system", "content": "S"}, {"role": "user", "content": ""},
                     {"content": "A\nB", "role": "assistant", "id": 7}])"),
            "system: S | user:  | assistant: A\nB");
  EXPECT_EQ(
      read(R"([{"from": "system", "value": "S"}, {"from": "human", "value": "H"}, {"from": "gpt", "value": "G"}])"),
      "system: S | user: H | assistant: G");
}

TEST(ReadConversation, JoinsPartsOfText) {
  EXPECT_EQ(
      read(R"([{"role": "assistant", "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]}])"),
      "assistant: a b");
  EXPECT_EQ(read(R"([{"role": "assistant", "content": "a", "tool_calls": [], "function_call": null}])"),
            "assistant: a");
}

TEST(ReadConversation, RefusesWhatItWouldHaveToGuess) {
  const std::string good = R"({"role": "assistant", "content": "a"})";
  const std::pair<std::string, std::string> cases[] = {
      {R"("text")", "got string; need a list of messages"},
      {"null", "got null; need a list of messages"},
      {R"({"role": "user", "content": "a"})", "got object; need a list"},
      {"[]", "without messages"},
      {R"([{"role": "user", "content": "a"}])", "without a message of the assistant"},
      {"[" + good + ", 7]", "got integer as message 2; need an object"},
      {R"([{"role": "tool", "content": "a"}])",
       R"(got role "tool" in message 1; need one of: system, user, assistant)"},
      {R"([{"role": "Assistant", "content": "a"}])", R"(got role "Assistant")"},
      {R"([{"from": "function", "value": "a"}])",
       R"(got from "function" in message 1; need one of: system, human, gpt)"},
      {R"([{"from": "user", "value": "a"}])", R"(got from "user")"},
      {R"([{"role": 7, "content": "a"}])", "got integer as 'role' in message 1"},
      {R"([{"content": "a"}])", "got no 'role' in message 1"},
      {R"([{"role": "assistant"}])", "got no 'content' in message 1"},
      {R"([{"role": "assistant", "value": "a"}])", "got no 'content' in message 1"},
      {R"([{"role": "assistant", "content": null}])", "got null as 'content' in message 1"},
      {R"([{"role": "assistant", "content": 7}])", "got integer as 'content' in message 1"},
      {R"([{"role": "assistant", "content": {"text": "a"}}])", "got object as 'content' in message 1"},
      {R"([{"role": "assistant", "content": ["a"]}])", "without a 'type'"},
      {R"([{"role": "assistant", "content": [{"type": "image_url", "text": "a"}]}])",
       R"(of type "image_url" in message 1)"},
      {R"([{"role": "assistant", "content": [{"type": "text", "text": null}]}])", "whose text is null"},
      {R"([{"role": "assistant", "content": [{"type": "text"}]}])", "whose text is absent"},
      {"[" + good + R"(, {"role": "assistant", "content": "a", "tool_calls": [{}]}])", "got 'tool_calls' in message 2"},
      {R"([{"role": "assistant", "content": "a", "weight": 0}])", "got 'weight' in message 1"},
  };
  for (const auto& [json, says] : cases)
    EXPECT_THAT(message_of<DataError>([&] { read(json); }), HasSubstr(says)) << json;
}

}  // namespace
}  // namespace evenkeel::data
