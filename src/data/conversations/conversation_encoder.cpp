#include "data/conversations/conversation_encoder.h"

#include <algorithm>

#include "core/errors.h"
#include "data/utf8.h"

namespace evenkeel::data {

ConversationEncoder::ConversationEncoder(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                         const Frame& frame)
    : tokenizer_(tokenizer), chat_template_(chat_template), frame_(frame) {
  const std::string where = join_parts("--template ", chat_template.name);
  for (const auto& token : chat_template.control_tokens) {
    const auto id = tokenizer.id_of(token);
    require<DataError>(id.has_value(), where, ": got ", tokenizer.path().string(), ", which has no token '", token,
                       "'; need a tokenizer with it, or another --template of ", known_chat_templates());
    control_ids_[token] = *id;
  }
  require<DataError>(!chat_template.uses_end_of_document || frame.eod.has_value(), where,
                     ": got --eod none; need an end-of-document id, which ends each answer");
  if (chat_template.uses_end_of_document) control_ids_[tokenizer.piece(*frame.eod)] = *frame.eod;
  for (const auto& [token, id] : control_ids_) {
    const auto ids = tokenizer.encode_text(" " + token + " ", /*starts_text=*/true);
    if (std::find(ids.begin(), ids.end(), id) != ids.end()) spoken_.push_back(token);
  }
}

std::string ConversationEncoder::document(const Json& value) const {
  const auto messages = read_conversation(value);
  for (const auto& token : spoken_)
    for (size_t i = 0; i < messages.size(); ++i)
      require<DataError>(messages[i].content.find(token) == std::string::npos, "got ", quoted_excerpt(token),
                         " in the content of message ", i + 1,
                         ", which this tokenizer cannot tell from the control token; need contents without it");
  return packed(chat_template_.lay_out(messages));
}

EncodedText ConversationEncoder::encode(std::string_view document) const {
  EncodedText out;
  std::vector<Part> texts;  // since the last control token
  const auto add = [&](int32_t id, bool is_scored) {
    add_texts(texts, out);
    texts.clear();
    out.ids.push_back(id);
    out.scored.push_back(is_scored ? 1 : 0);
  };
  for (auto& part : unpacked(document)) {
    if (part.kind == Part::Kind::control) {
      add(control_ids_.at(part.text), part.is_scored);
    } else if (part.kind == Part::Kind::end_of_document) {
      add(*frame_.eod, part.is_scored);
    } else if (!texts.empty() && texts.back().is_scored == part.is_scored) {
      texts.back().text += part.text;
    } else if (!part.text.empty()) {
      texts.push_back(std::move(part));
    }
  }
  add_texts(texts, out);
  texts.clear();
  if (frame_.eod && (out.ids.empty() || out.ids.back() != *frame_.eod)) add(*frame_.eod, false);
  if (frame_.bos && (out.ids.empty() || out.ids.front() != *frame_.bos)) {
    out.ids.insert(out.ids.begin(), *frame_.bos);
    out.scored.insert(out.scored.begin(), 0);
  }
  return out;
}

void ConversationEncoder::add_texts(const std::vector<Part>& texts, EncodedText& out) const {
  const bool starts_text = out.ids.empty();
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string& text = texts[i].text;
    const auto ids =
        i == 0 ? tokenizer_.encode_text(text, starts_text) : ids_after(texts[i - 1].text, text, starts_text && i == 1);
    for (const auto& [token, id] : control_ids_)
      require<DataError>(std::find(ids.begin(), ids.end(), id) == ids.end(), "conversations: got the control token '",
                         token, "' out of the text ", quoted_excerpt(text), "; need a tokenizer that tells them apart");
    out.ids.insert(out.ids.end(), ids.begin(), ids.end());
    out.scored.insert(out.scored.end(), ids.size(), texts[i].is_scored ? 1 : 0);
    out.text_bytes += static_cast<int64_t>(text.size());
  }
}

// The ids of `text`, which goes on after `before`. Those of both together where they begin with those of `before`
// alone: no token spans the joint, and a space that the tokenizer puts in front of any text is not put here. Else, as
// in "\n" and "\nYes" with a token "\n\n", those behind another text that leaves the joint free.
std::vector<int32_t> ConversationEncoder::ids_after(const std::string& before, const std::string& text,
                                                    bool starts_text) const {
  for (const std::string& anchor : {before, std::string("a"), std::string("\n"), std::string("1"), std::string(".")}) {
    const auto head = tokenizer_.encode_text(anchor, starts_text);
    auto both = tokenizer_.encode_text(anchor + text, starts_text);
    if (both.size() < head.size() || !std::equal(head.begin(), head.end(), both.begin())) continue;
    both.erase(both.begin(), both.begin() + static_cast<std::ptrdiff_t>(head.size()));
    return both;
  }
  fail<DataError>("conversations: got the text ", quoted_excerpt(text), " behind ", quoted_excerpt(before),
                  ", which the tokenizer joins with whatever stands before it; need a tokenizer that cuts there");
}

}  // namespace evenkeel::data
