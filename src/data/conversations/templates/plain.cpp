// evenkeel's own form for tokenizers without control tokens: "ROLE:", a line end and the content of each message, with
// a line end between two messages. The end-of-document id ends each message of the assistant.
#include "data/conversations/chat_template.h"

namespace evenkeel::data {
namespace {

constexpr const char* kJinja =
    R"({% for message in messages %}{% if not loop.first %}{{ '\n' }}{% endif %}{{ message['role'] + ':\n' + message['content'] }}{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %})";
constexpr const char* kPrompt = R"({% if add_generation_prompt %}{{ '\nassistant:\n' }}{% endif %})";

std::vector<Part> lay_out_plain(const std::vector<Message>& messages) {
  std::vector<Part> out;
  for (const auto& message : messages) {
    const std::string separator = out.empty() ? "" : "\n";
    out.push_back({Part::Kind::text, separator + std::string(name_of(message.role)) + ":\n", false});
    out.push_back({Part::Kind::text, message.content, message.role == Role::assistant});
    if (message.role == Role::assistant) out.push_back({Part::Kind::end_of_document, "", true});
  }
  return out;
}

}  // namespace

ChatTemplate plain_chat_template() {
  ChatTemplate out{"plain", lay_out_plain, {}};
  out.uses_end_of_document = true;
  out.published = {kJinja, std::string(kJinja) + kPrompt};
  return out;
}

}  // namespace evenkeel::data
