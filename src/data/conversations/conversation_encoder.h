// Conversations to token ids, and which of them are scored.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/json.h"
#include "data/conversations/chat_template.h"
#include "data/encoded_text.h"
#include "data/tokenizer.h"

namespace evenkeel::data {

// Texts between two control tokens are encoded as a model meets them: first what is given, then what is to be answered,
// which goes on after it. A text of a conversation never becomes a control token, whatever it says.
class ConversationEncoder {
 public:
  // DataError that names the token where the tokenizer lacks one of the template's, or the end-of-document id.
  ConversationEncoder(const Tokenizer& tokenizer, const ChatTemplate& chat_template, const Frame& frame);

  const ChatTemplate& chat_template() const { return chat_template_; }
  // Of a record's value, laid out, for encode(). DataError "got …; need …" where it is no conversation.
  std::string document(const Json& value) const;
  // BOS stands before it and the end-of-document id behind it, where the frame has them and they do not stand there
  // already; neither is scored. Thread-safe.
  EncodedText encode(std::string_view document) const;

 private:
  void add_texts(const std::vector<Part>& texts, EncodedText& out) const;
  std::vector<int32_t> ids_after(const std::string& before, const std::string& text, bool starts_text) const;

  const Tokenizer& tokenizer_;
  const ChatTemplate& chat_template_;
  Frame frame_;
  std::unordered_map<std::string, int32_t> control_ids_;
  std::vector<std::string> spoken_;  // control tokens that this tokenizer finds in any text
};

}  // namespace evenkeel::data
