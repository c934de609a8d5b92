// Unigram models as the `tokenizers` library encodes with them: the path of the best score over a piece, in fp64.
#pragma once

#include <string>
#include <vector>

#include "data/tokenizers/piece_trie.h"
#include "data/tokenizers/word_model.h"

namespace evenkeel::data {

struct UnigramSpec {
  std::vector<std::pair<std::string, double>> tokens;  // with the logarithm of their probability; the index is the id
  std::optional<int32_t> unknown;
  bool falls_back_to_bytes = false;
};
UnigramSpec read_unigram(const Json& model);  // model of a tokenizer.json; JsonError

// Linear in the length of a piece times the length of the longest token.
class Unigram final : public WordModel {
 public:
  explicit Unigram(UnigramSpec spec);
  void encode(std::string_view piece, Workspace& workspace, std::vector<int32_t>& ids) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  int64_t n_entries() const override { return vocabulary_.end_id(); }

 private:
  void find_paths(std::string_view piece, std::vector<BestPath>& paths) const;
  void append_segment(std::string_view segment, std::vector<int32_t>& ids) const;
  int32_t unknown_id(std::string_view segment) const;

  UnigramSpec spec_;
  Vocabulary vocabulary_;
  std::vector<double> scores_;  // by id
  double unknown_score_ = 0;
  PieceTrie trie_;
  std::vector<int32_t> byte_ids_;  // of byte fallback; empty where a byte has none
};

}  // namespace evenkeel::data
