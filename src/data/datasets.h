// Data sets by their path, each opened, and read as a whole, once: a run, its loaders and its evaluations share them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/indexed_dataset.h"

namespace evenkeel::data {

class Datasets {
 public:
  IndexedDataset& open(const std::string& path);            // at the first call; errors as IndexedDataset::open
  const IndexedDataset& at(const std::string& path) const;  // one that is open

 private:
  std::map<std::string, IndexedDataset> by_path_;  // references to its values stay good
};

// The tokenizer of a data set, or the one that a model was trained with.
struct TokenizerUse {
  std::string name;                     // the recipe's key or the option that named the set or model, for messages
  std::string place;                    // its PREFIX or folder
  std::string tokenizer, sha256;        // "" = unknown
  std::vector<std::string> files = {};  // where its file may lie
};
TokenizerUse tokenizer_use(const std::string& name, const IndexedDataset& dataset);

// The first of its files that has the use's hash; "" where none does.
std::string tokenizer_file(const TokenizerUse& use);

// DataError naming two of `uses` and their tokenizers when they name more than one, unless of any two one extends the
// other (data/tokenizer_growth.h), so that an id means the same in all: then a note. A warning in place of the error
// where `allows_mixed`. `how_to_allow`: what the message offers. A note names those whose tokenizer is unknown, beside
// others.
void require_one_tokenizer(const std::vector<TokenizerUse>& uses, bool allows_mixed, const std::string& how_to_allow);

}  // namespace evenkeel::data
