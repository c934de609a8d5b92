// Llama 3's: <|begin_of_text|> once; then of each message its role between <|start_header_id|> and <|end_header_id|>,
// an empty line, the content without white space at its ends, <|eot_id|>.
#include "data/conversations/chat_template.h"
#include "data/tokenizers/code_points.h"

namespace evenkeel::data {
namespace {

constexpr const char *kBegin = "<|begin_of_text|>", *kHeader = "<|start_header_id|>", *kHeaderEnd = "<|end_header_id|>",
                     *kEnd = "<|eot_id|>";

constexpr const char* kMessages =
    R"({% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %})";
constexpr const char* kPrompt = R"({{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }})";

// What Jinja's `trim` takes away: Python's white space, which has four control characters more than Unicode's.
bool is_trimmed(char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

std::string trimmed(std::string_view text) {
  while (!text.empty() && is_trimmed(first_code_point(text))) text.remove_prefix(utf8_bytes(text[0]));
  while (!text.empty()) {
    const size_t last = last_character_begin(text);
    if (!is_trimmed(first_code_point(text.substr(last)))) break;
    text = text.substr(0, last);
  }
  return std::string(text);
}

std::vector<Part> lay_out_llama3(const std::vector<Message>& messages) {
  std::vector<Part> out = {{Part::Kind::control, kBegin, false}};
  for (const auto& message : messages) {
    const bool is_scored = message.role == Role::assistant;
    out.push_back({Part::Kind::control, kHeader, false});
    out.push_back({Part::Kind::text, std::string(name_of(message.role)), false});
    out.push_back({Part::Kind::control, kHeaderEnd, false});
    out.push_back({Part::Kind::text, "\n\n", false});
    out.push_back({Part::Kind::text, trimmed(message.content), is_scored});
    out.push_back({Part::Kind::control, kEnd, is_scored});
  }
  return out;
}

}  // namespace

ChatTemplate llama3_chat_template() {
  ChatTemplate out{"llama3", lay_out_llama3, {kBegin, kHeader, kHeaderEnd, kEnd}};
  out.bos_token = kBegin;
  const std::string messages = kMessages, prompt = kPrompt;
  out.published = {messages, messages + prompt, messages + "{% if add_generation_prompt %}" + prompt + "{% endif %}"};
  return out;
}

}  // namespace evenkeel::data
