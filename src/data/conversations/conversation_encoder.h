// Conversations to token ids, and which of them are scored.
#pragma once

#include <cstdint>
#include <optional>
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
  ConversationEncoder(const Tokenizer& tokenizer, const ChatTemplate& chat_template, std::optional<int32_t> eod);

  const ChatTemplate& chat_template() const { return chat_template_; }
  // Of a record's value, laid out, for encode(). DataError "got …; need …" where it is no conversation.
  std::string document(const Json& value) const;
  // `starts`: ids that stand before it, as a BOS, unless it begins with them; they are not scored. The
  // end-of-document id ends it, unless it is the last id already, and is not scored either. Thread-safe.
  EncodedText encode(std::string_view document, const std::vector<int32_t>& starts = {}) const;

 private:
  void add_texts(const std::vector<Part>& texts, EncodedText& out) const;
  std::vector<int32_t> ids_after(const std::string& before, const std::string& text, bool starts_text) const;

  const Tokenizer& tokenizer_;
  const ChatTemplate& chat_template_;
  std::optional<int32_t> eod_;
  std::unordered_map<std::string, int32_t> control_ids_;
  std::vector<std::string> spoken_;  // control tokens that this tokenizer finds in any text
};

}  // namespace evenkeel::data
