// Documents out of text files: .txt and .jsonl, plain or .gz, .xz, .zst, streamed in bounded memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace evenkeel::data {

struct ReaderOptions {
  std::string document_separator = "blank-line";  // "newline", "none", or any string: of .txt files
  std::string text_field = "text";                // of .jsonl files
};

// Bytes of a possibly compressed file, in pieces. DataError on a damaged or truncated stream.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual size_t read(char* out, size_t capacity) = 0;  // 0 at the end
  virtual int64_t compressed_position() const = 0;      // bytes of the file consumed, for progress
};
std::unique_ptr<ByteSource> open_byte_source(const std::filesystem::path& path);

// DataError unless `path` has a suffix that read_documents knows and can be opened.
void check_input(const std::filesystem::path& path);

// Calls `take` with each non-empty document in file order. Text must be UTF-8: DataError with the line
// and byte otherwise. Text between separators is kept byte for byte; only the line end before a blank line,
// and with "newline" a CR before the LF, is dropped. `progress` (may be empty) gets bytes of the file consumed so far.
void read_documents(const std::filesystem::path& path, const ReaderOptions& options,
                    const std::function<void(std::string&& document)>& take,
                    const std::function<void(int64_t)>& progress);

}  // namespace evenkeel::data
