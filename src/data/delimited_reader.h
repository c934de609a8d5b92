// Cuts a stream of bytes at a delimiter, in bounded memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "data/readers.h"

namespace evenkeel::data {

struct Delimiter {
  std::string text;                     // empty: it never matches, the rest of the file is one piece
  bool takes_carriage_returns = false;  // a \n of it also stands for CR LF
};

class DelimitedReader {
 public:
  // A piece of more than `most_bytes` is cut there, and its rest passed over.
  DelimitedReader(ByteSource& source, Delimiter delimiter, size_t most_bytes);

  // The next piece without its delimiter; it stays valid until the next call. The end of the file ends a piece too,
  // unless that piece would be empty. False when nothing is left. A byte order mark at the start of the file is no part
  // of a piece.
  bool next(std::string_view& piece);
  int64_t piece_offset() const { return piece_offset_; }       // byte of the file's text where the last piece starts
  size_t delimiter_bytes() const { return delimiter_bytes_; }  // that ended the last piece; 0 at the end of the file
  bool is_cut() const { return is_cut_; }                      // the last piece went on beyond most_bytes
  // The name of what the file's first bytes show it to be, where that is no text in UTF-8: "gzip data". nullptr:
  // nothing known.
  const char* foreign_kind() const { return foreign_kind_; }

 private:
  void take(std::string_view& piece, size_t size_bytes, size_t delimiter_bytes);
  void pass_over_rest();
  size_t find(size_t from, size_t& size_bytes) const;
  bool fill();

  ByteSource& source_;
  Delimiter delimiter_;
  size_t most_bytes_;
  std::string buffer_;
  size_t start_ = 0;    // of the open piece in buffer_
  int64_t offset_ = 0;  // of the open piece in the file's text
  int64_t piece_offset_ = 0;
  size_t delimiter_bytes_ = 0;
  bool is_cut_ = false, has_begun_ = false;
  const char* foreign_kind_ = nullptr;
};

// The next piece. DataError where the file does not begin as UTF-8 text does.
bool next_of_text(DelimitedReader& pieces, const std::filesystem::path& path, std::string_view& piece);

}  // namespace evenkeel::data
