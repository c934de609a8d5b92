// Chat templates: how a conversation is laid out, and what of it is scored. A template is one file in
// data/conversations/templates and one line in the registry.
#pragma once

#include <string>
#include <vector>

#include "data/conversations/message.h"
#include "data/conversations/part.h"

namespace evenkeel::data {

// The content of the assistant's messages and the token that ends them are scored, nothing else.
struct ChatTemplate {
  const char* name;
  std::vector<Part> (*lay_out)(const std::vector<Message>& messages);
  std::vector<std::string> control_tokens;  // all that it uses
  bool uses_end_of_document = false;
  std::string bos_token = {};               // what `bos_token` stands for in Jinja
  std::vector<std::string> published = {};  // its forms in Jinja, as they stand in tokenizer_config.json
};

const std::vector<ChatTemplate>& chat_templates();  // in the order of the registry
std::string known_chat_templates();                 // "chatml, llama3, plain"
// ConfigError names the choices where there is none of that name.
const ChatTemplate& chat_template_named(const std::string& name);

}  // namespace evenkeel::data
