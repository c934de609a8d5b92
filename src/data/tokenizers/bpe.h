// Byte-pair encoding as the `tokenizers` library does it: the merges of a word by their rank, equal ranks from the
// left.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "data/tokenizers/flat_table.h"
#include "data/tokenizers/word_model.h"

namespace evenkeel::data {

// Two tokens that become one. Of several that are possible in a word the least rank comes first, equal ones from the
// left.
struct BpeMerge {
  int32_t left, right, merged;  // ids
  uint32_t rank;
};
struct BpeSpec {
  Vocabulary vocabulary;
  std::vector<BpeMerge> merges;
  std::string unknown_token;       // "": characters without an id are dropped
  std::optional<int32_t> unknown;  // its id
  std::string prefix, suffix;      // of each character but the first, of the last one
  bool fuses_unknown = false;      // one unknown token for a run of them
  bool falls_back_to_bytes = false;
  bool takes_whole_words = false;  // a piece that is a token is not merged: ignore_merges
  // The vocabulary is in GPT-2's byte alphabet, and pieces are the bytes themselves.
  bool is_byte_level = false;
};
// model of a tokenizer.json. JsonError where it asks for what evenkeel lacks (dropout), or names what is not there.
BpeSpec read_bpe(const Json& model);

// Linear in the length of a piece but for the logarithm of a heap.
class Bpe final : public WordModel {
 public:
  explicit Bpe(BpeSpec spec);
  void encode(std::string_view piece, Workspace& workspace, std::vector<int32_t>& ids) const override;
  const Vocabulary& vocabulary() const override { return spec_.vocabulary; }
  int64_t n_entries() const override { return static_cast<int64_t>(spec_.vocabulary.size()); }

 private:
  struct Ranked {
    uint32_t rank = 0;
    int32_t id = 0;
  };
  void encode_word(std::string_view word, Workspace& workspace, std::vector<int32_t>& ids) const;
  void split_into_symbols(std::string_view word, Workspace& workspace) const;
  void split_into_bytes(std::string_view word, Workspace& workspace) const;
  void merge(Workspace& workspace) const;
  void add_merge(Workspace& workspace, int32_t left, int32_t right) const;
  const Ranked* merge_of(int32_t left, int32_t right) const;
  bool has_word_starts() const;

  BpeSpec spec_;
  FlatTable<Ranked> merges_;
  std::array<int32_t, 256> byte_ids_ = {};  // of the bytes of a byte-level vocabulary, or those of byte fallback
  bool has_all_bytes_ = false;
  IdsByText words_;  // tokens as pieces have them, for takes_whole_words
  // A piece can be cut before each U+2581 that follows another character: no token goes on across it.
  bool cuts_at_spaces_ = false;
};

}  // namespace evenkeel::data
