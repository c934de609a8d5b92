// PREFIX.skipped.jsonl: the damaged lines and rows that `prepare --skip-bad` passed over (docs/formats.md).
#pragma once

#include <filesystem>
#include <memory>

#include "core/file_io.h"
#include "data/readers.h"

namespace evenkeel::data {

class SkippedLines {
 public:
  // The caller has asked require_own_outputs.
  explicit SkippedLines(std::filesystem::path path);
  void add(const BadLine& line);
  // Puts the file into place, or removes an earlier one when no line was passed over.
  void commit();
  static void remove_earlier(const std::filesystem::path& path);  // where evenkeel wrote it
  int64_t n_lines() const { return n_lines_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::unique_ptr<AtomicFile> file_;  // from the first line on
  int64_t n_lines_ = 0;
};

}  // namespace evenkeel::data
