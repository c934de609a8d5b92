// A token file of another trainer, open for reading: its ids in order, a piece at a time.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>

#include "core/file_io.h"
#include "data/token_files/registry.h"

namespace evenkeel::data {

class TokenFile {
 public:
  // The kind is told by the content; a file without a header needs `dtype`. DataError names the path, what was got and
  // what is needed; ConfigError where `dtype` is not what a header says.
  TokenFile(const std::filesystem::path& path, std::optional<TokenType> dtype);

  const std::filesystem::path& path() const { return path_; }
  const TokenFileKind& kind() const { return *kind_; }
  const TokenLayout& layout() const { return layout_; }
  int64_t n_tokens() const { return layout_.n_tokens; }
  std::string_view bytes() const { return file_.text(); }  // of the whole file
  StoredIds ids(int64_t first, int64_t count) const;       // a range inside
  // DataError names the first id of the range that is outside 0 .. vocab_size-1, and its position in the file.
  void require_ids(int64_t first, int64_t count, int64_t vocab_size) const;
  // What was read of these ids need not stay in memory. MachineError when the file got shorter meanwhile.
  void release(int64_t first, int64_t count) const;

 private:
  friend IdBounds bounds_of(const std::vector<TokenFile>& files);
  std::filesystem::path path_;
  MappedFile file_;
  const TokenFileKind* kind_ = nullptr;
  TokenLayout layout_;
};

// The smallest and the largest id of all files, read by all cores.
IdBounds bounds_of(const std::vector<TokenFile>& files);

}  // namespace evenkeel::data
