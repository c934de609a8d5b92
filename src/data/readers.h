// Documents out of files: .txt and JSON lines, plain or .gz, .xz, .zst, and Parquet, streamed in bounded memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace evenkeel::data {

enum class RecordUnit { line, row };  // rows of Parquet

// A line or row that cannot be read.
struct BadLine {
  const std::filesystem::path& path;
  int64_t line = 1;    // or row, from 1
  int64_t byte = 0;    // of the uncompressed text, where the line starts; rows have none
  std::string reason;  // "got …; need …"
  RecordUnit unit = RecordUnit::line;
  std::string place() const;  // for people: "en.txt:3", "en.parquet: row 3"
};

struct ReaderOptions {
  std::string document_separator = "blank-line";  // "newline", "none", or any string: of .txt files
  std::string text_field = "text";                // of records; keys with dots between them go into objects
  bool keeps_carriage_returns = false;            // false: a line end CR LF or CR becomes LF, in JSON strings too
  // Where it is set it gets each damaged line, which is then passed over; else the first one is a DataError.
  std::function<void(const BadLine&)> on_bad_line = {};
  // Where it is set, the field holds a conversation, and this makes a document of its value. DataError "got …; need …".
  std::function<std::string(const Json& value)> document_of_value = {};
};

// What was read and what was changed on the way.
struct ReadSummary {
  int64_t n_documents = 0;      // those that are not empty
  int64_t n_empty_records = 0;  // of JSON or Parquet, whose text is empty or null: no documents
  int64_t n_text_bytes = 0;
  int64_t n_carriage_returns = 0;       // line ends CR LF, made LF or kept
  int64_t n_lone_carriage_returns = 0;  // CR without a LF, the line end of old Mac text, made LF or kept
  int64_t n_surrogates = 0;             // halves of a pair in JSON, which became U+FFFD
  int64_t n_bad_lines = 0;              // passed over
  int64_t n_uncut_files = 0;            // .txt files of several lines and not one blank line to cut them at
  int64_t n_zero_bytes = 0;             // in documents, which keep them
  int64_t n_text_files = 0, n_json_files = 0, n_parquet_files = 0;
  ReadSummary& operator+=(const ReadSummary& other);
};

// Every count with its key in PREFIX.json (docs/formats.md).
struct ReadCount {
  const char* key;
  int64_t ReadSummary::*count;
};
inline constexpr ReadCount kReadCounts[] = {
    {"text_files", &ReadSummary::n_text_files},           {"json_files", &ReadSummary::n_json_files},
    {"parquet_files", &ReadSummary::n_parquet_files},     {"documents", &ReadSummary::n_documents},
    {"text_bytes", &ReadSummary::n_text_bytes},           {"skipped_lines", &ReadSummary::n_bad_lines},
    {"empty_records", &ReadSummary::n_empty_records},     {"surrogates", &ReadSummary::n_surrogates},
    {"crlf_line_ends", &ReadSummary::n_carriage_returns}, {"cr_line_ends", &ReadSummary::n_lone_carriage_returns},
    {"zero_bytes", &ReadSummary::n_zero_bytes},           {"uncut_files", &ReadSummary::n_uncut_files}};

// "3 damaged lines", or rows, or both, by the files that were read.
std::string counted_bad_lines(const ReadSummary& read);

// What was changed on the way and what is odd, in sentences: line ends, surrogates, zero bytes.
std::vector<std::string> changes_in_reading(const ReadSummary& read, const ReaderOptions& options);

// Bytes of a possibly compressed file, in pieces. DataError on a damaged or truncated stream.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual size_t read(char* out, size_t capacity) = 0;  // 0 at the end
  virtual int64_t compressed_position() const = 0;      // bytes of the file consumed, for progress
};
std::unique_ptr<ByteSource> open_byte_source(const std::filesystem::path& path);

// DataError unless `path` has a suffix that read_documents knows and can be opened. ConfigError for Parquet where this
// build cannot read it.
void check_input(const std::filesystem::path& path);
bool is_json_records(const std::filesystem::path& path);  // by its suffix

// The most bytes of a document of text and of a line of JSON.
constexpr size_t kMostDocumentBytes = size_t{1} << 28;

using TakeDocument = std::function<void(std::string&& document)>;

// Calls `take` with each non-empty document in file order. Text must be UTF-8 (a byte order mark at its start is
// dropped): DataError with the line, or row, and byte otherwise. Text between separators is kept but for the line ends,
// see above; a line end that is, or is part of, the separator is dropped. `progress` (may be empty) gets bytes of the
// file consumed so far.
ReadSummary read_documents(const std::filesystem::path& path, const ReaderOptions& options, const TakeDocument& take,
                           const std::function<void(int64_t)>& progress);

}  // namespace evenkeel::data
