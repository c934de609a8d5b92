// The steps from a text to ids that a tokenizer.json describes: added tokens, normalization, words, the model.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/tokenizers/added_tokens.h"
#include "data/tokenizers/normalizers.h"
#include "data/tokenizers/pre_tokenizers.h"
#include "data/tokenizers/word_model.h"

namespace evenkeel::data {

struct TextSteps {
  std::unique_ptr<Normalizer> normalizer;  // may be null
  PreTokenizers pre_tokenizers;
  std::unique_ptr<WordModel> model;
  std::vector<AddedToken> added;
};

// Takes the words of a text for the model, and the ids of added tokens between them.
class WordSink : public PieceSink {
 public:
  virtual void take_added(int32_t id) = 0;
};

class TextEncoder {
 public:
  explicit TextEncoder(TextSteps steps);
  // Without BOS or EOS. Thread-safe. DataError for text that is no UTF-8, or that the model cannot encode.
  std::vector<int32_t> encode(std::string_view text) const { return encode(text, {}); }
  struct Reading {
    bool finds_special = true;  // false: special tokens are text
    bool starts_text = true;    // false: as behind a special token
  };
  std::vector<int32_t> encode(std::string_view text, Reading reading) const;
  // What comes before the model. DataError for text that is no UTF-8.
  void split(std::string_view text, Reading reading, RegexWorkspace& workspace, WordSink& out) const;
  const WordModel& model() const { return *steps_.model; }
  const std::vector<AddedToken>& added() const { return steps_.added; }

 private:
  void split_between(std::string_view text, Reading reading, RegexWorkspace& workspace, WordSink& out) const;
  TextSteps steps_;
  TokenFinder raw_, normalized_;
  mutable WorkspacePool workspaces_;  // only makes it faster
};

}  // namespace evenkeel::data
