// The chat template that a tokenizer's folder has.
#pragma once

#include <filesystem>
#include <string>

#include "data/conversations/chat_template.h"

namespace evenkeel::data {

// In Jinja: chat_template.jinja beside the tokenizer's file, else `chat_template` of tokenizer_config.json, of a list
// of them the one named "default". Empty where there is none. DataError for a file that is damaged.
struct OwnTemplate {
  std::filesystem::path path;
  std::string text;
  std::string bos_token;  // of tokenizer_config.json
};
OwnTemplate own_template(const std::filesystem::path& tokenizer);

// The template of that name; of no name: the tokenizer's own. DataError where it has none, or one that is not among
// ours.
const ChatTemplate& chosen_chat_template(const std::string& name, const std::filesystem::path& tokenizer);

}  // namespace evenkeel::data
