#include "data/tokenizers/text_encoder.h"

#include "core/errors.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

class ModelSink final : public WordSink {
 public:
  ModelSink(const WordModel& model, Workspace& workspace, std::vector<int32_t>& ids)
      : model_(model), workspace_(workspace), ids_(ids) {}
  void take(const Piece& piece) override {
    if (!piece.text.empty()) model_.encode(piece.text, workspace_, ids_);
  }
  void take_added(int32_t id) override { ids_.push_back(id); }

 private:
  const WordModel& model_;
  Workspace& workspace_;
  std::vector<int32_t>& ids_;
};

}  // namespace

TextEncoder::TextEncoder(TextSteps steps) : steps_(std::move(steps)) {
  RegexWorkspace workspace;
  for (const bool is_special : {true, false})  // of equal tokens the special one is found
    for (auto& token : steps_.added) {
      if (token.is_special != is_special) continue;
      token.decoded = token.content;
      if (token.is_normalized && steps_.normalizer) steps_.normalizer->apply(token.decoded, workspace);
      if (token.decoded.empty())
        fail<DataError>("added token ", quoted_excerpt(token.content),
                        ": got nothing after its normalization; need text that can be found");
      (token.is_normalized ? normalized_ : raw_).add(token.decoded, token);
    }
}

std::vector<int32_t> TextEncoder::encode(std::string_view text, Reading reading) const {
  const auto workspace = workspaces_.lease();
  std::vector<int32_t> ids;
  ModelSink sink(*steps_.model, *workspace, ids);
  split(text, reading, (*workspace).regex, sink);
  return ids;
}

void TextEncoder::split(std::string_view text, Reading reading, RegexWorkspace& workspace, WordSink& out) const {
  require_utf8(text);
  TokenFinder::Progress progress;
  progress.finds_special = reading.finds_special;
  while (const auto part = raw_.next(text, progress)) {
    if (part->id) {
      out.take_added(*part->id);
    } else {
      const auto [begin, end] = part->span;
      split_between(text.substr(begin, end - begin), {reading.finds_special, reading.starts_text && begin == 0},
                    workspace, out);
    }
  }
}

void TextEncoder::split_between(std::string_view text, Reading reading, RegexWorkspace& workspace,
                                WordSink& out) const {
  std::string normalized;
  if (steps_.normalizer) {
    normalized = text;
    if (steps_.normalizer->apply(normalized, workspace)) reading.starts_text = false;
    text = normalized;
  }
  TokenFinder::Progress progress;
  progress.finds_special = reading.finds_special;
  while (const auto part = normalized_.next(text, progress)) {
    const auto [begin, end] = part->span;
    if (part->id) {
      out.take_added(*part->id);
    } else if (begin < end) {
      steps_.pre_tokenizers.split({text.substr(begin, end - begin), reading.starts_text && begin == 0}, workspace, out);
    }
  }
}

}  // namespace evenkeel::data
