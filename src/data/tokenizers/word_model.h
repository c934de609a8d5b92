// What turns a piece of text into ids: byte-pair merges or the best unigram path.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "data/tokenizers/regex.h"
#include "data/tokenizers/vocabulary.h"
#include "data/tokenizers/word_cache.h"

namespace evenkeel::data {

// A symbol of a word while its pairs are merged.
struct Symbol {
  int32_t id;
  int32_t previous, next;  // indices, -1: none
  bool is_gone;            // part of the one before it
};
// The best way to a place in a piece, for unigram models.
struct BestPath {
  double score = 0;
  int64_t begin = -1;  // of the last token of the path, -1: none yet
  int32_t id = 0;
};

// What one thread needs to encode: reused from text to text. It never changes what comes out.
struct Workspace {
  RegexWorkspace regex;
  WordCache cache;
  std::vector<Symbol> symbols;
  // A heap of merges: the rank above, the index of the left symbol below, so that what is merged first is least.
  std::vector<uint64_t> merges;
  std::vector<BestPath> paths;
};

// Hands out workspaces to the threads that encode, and keeps them.
class WorkspacePool {
 public:
  class Lease {
   public:
    Lease(WorkspacePool& pool, std::unique_ptr<Workspace> workspace) : pool_(pool), workspace_(std::move(workspace)) {}
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Workspace& operator*() const { return *workspace_; }

   private:
    WorkspacePool& pool_;
    std::unique_ptr<Workspace> workspace_;
  };
  Lease lease();

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> free_;
};

class WordModel {
 public:
  virtual ~WordModel() = default;
  // Appends the ids of `piece`, which is not empty and valid UTF-8. Thread-safe with a workspace a thread. DataError
  // where the model has no id for a character and no unknown token.
  virtual void encode(std::string_view piece, Workspace& workspace, std::vector<int32_t>& ids) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
  virtual int64_t n_entries() const = 0;  // of its list of tokens, of which two may be equal: where added ids go on
};

}  // namespace evenkeel::data
