// PREFIX.scored: which tokens of a pair are scored, one byte a token, 1 or 0 (docs/formats.md). PREFIX.json has its
// SHA-256.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/file_io.h"
#include "core/sha256.h"

namespace evenkeel::data {

class ScoredParts {
 public:
  // DataError where the file is missing, or has not one byte for each token.
  ScoredParts(const std::filesystem::path& prefix, int64_t n_tokens);
  const MappedFile& file() const { return file_; }
  const std::filesystem::path& path() const { return path_; }
  // DataError where the file has another SHA-256.
  void require_sha256(const std::string& sha256) const;
  // Of tokens first .. first+count-1. The range must lie inside. DataError on other values than 0 and 1.
  void copy(int64_t first, int64_t count, uint8_t* out) const;

 private:
  std::filesystem::path path_;
  MappedFile file_;
};

// Writes the file, atomically.
class ScoredPartsWriter {
 public:
  explicit ScoredPartsWriter(const std::filesystem::path& prefix);
  void add(const std::vector<uint8_t>& scored);  // 1 or 0 of each token
  int64_t n_scored() const { return n_scored_; }
  std::string sha256() { return hash_.hex(); }  // of all that was added; nothing may follow
  void finish() { file_.finish(); }
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
  Sha256 hash_;
  int64_t n_scored_ = 0;
};

std::filesystem::path scored_path(const std::filesystem::path& prefix);

}  // namespace evenkeel::data
