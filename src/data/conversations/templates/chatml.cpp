// ChatML as OpenAI published it: <|im_start|>ROLE, a line end, the content, <|im_end|>, a line end.
#include "data/conversations/chat_template.h"

namespace evenkeel::data {
namespace {

constexpr const char *kStart = "<|im_start|>", *kEnd = "<|im_end|>";

constexpr const char* kMessages =
    R"({% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %})";
constexpr const char* kPrompt = R"({% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})";

std::vector<Part> lay_out_chatml(const std::vector<Message>& messages) {
  std::vector<Part> out;
  for (const auto& message : messages) {
    const bool is_scored = message.role == Role::assistant;
    out.push_back({Part::Kind::control, kStart, false});
    out.push_back({Part::Kind::text, std::string(name_of(message.role)) + "\n", false});
    out.push_back({Part::Kind::text, message.content, is_scored});
    out.push_back({Part::Kind::control, kEnd, is_scored});
    out.push_back({Part::Kind::text, "\n", false});
  }
  return out;
}

}  // namespace

ChatTemplate chatml_chat_template() {
  ChatTemplate out{"chatml", lay_out_chatml, {kStart, kEnd}};
  out.published = {kMessages, std::string(kMessages) + kPrompt};
  return out;
}

}  // namespace evenkeel::data
