// Files of text to an indexed dataset (`evenkeel prepare`): cli.md has the contract.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/json.h"
#include "data/readers.h"
#include "data/tokenizer.h"

namespace evenkeel::data {

struct PrepareOptions {
  ReaderOptions reader = {};
  std::string messages_field = {};  // of records: conversations, of which PREFIX.scored says what is scored; "" = text
  std::string chat_template = {};   // of conversations; "" = the tokenizer's own
  std::string eod = {};             // "" = what the tokenizer names, "none", a piece, or an id
  bool adds_bos = false;            // the tokenizer's BOS before each document
  double holdout_fraction = 0.0;    // > 0 writes PREFIX-heldout too
  int64_t n_threads = 0;            // 0: allowed_cores()
  uint64_t seed = 1;
  bool skips_bad = false;  // damaged lines and rows are passed over and listed in PREFIX.skipped.jsonl
};

enum class Holdout { none, documents, blocks };

struct Prepared {
  Json kept, held_out;  // the contents of PREFIX.json and PREFIX-heldout.json; null without a hold-out
  Holdout holdout = Holdout::none;
  ReadSummary read;
  int64_t n_without_tokens = 0;  // documents that the tokenizer makes nothing of, which are in neither
};
// What was made and what was changed on the way, in sentences.
std::vector<std::string> sentences(const Prepared& prepared, const std::string& prefix, const ReaderOptions& reader);

// Memory is bounded whatever the size of the inputs; tokens do not
// depend on the number of threads. Hold-out: by hash of the document's text; with fewer than 1,000
// documents by blocks of 4,096 tokens of the stream (one of every 1 / fraction, chosen by hash; a document is
// cut where the side changes). Each document ends with the end-of-document id, and begins with BOS where that is asked
// for. A conversation is held out whole, by hash. Errors leave no file.
Prepared prepare(const Tokenizer& tokenizer, const std::vector<std::filesystem::path>& inputs,
                 const std::filesystem::path& prefix, const PrepareOptions& options);

}  // namespace evenkeel::data
