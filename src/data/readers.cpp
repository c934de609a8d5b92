#include "data/readers.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"
#include "core/json.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPieceBytes = size_t{1} << 18;
constexpr size_t kLargestRead = size_t{1} << 28;
constexpr const char* kKnownSuffixes = ".txt or .jsonl, each also with .gz, .xz or .zst behind it";

// Cuts a stream at a delimiter. An empty delimiter never matches: the rest of the file is one piece.
class DelimitedReader {
 public:
  DelimitedReader(ByteSource& source, std::string delimiter) : source_(source), delimiter_(std::move(delimiter)) {}

  // The next piece without its delimiter; it stays valid until the next call. The end of the file ends a
  // piece too, unless that piece would be empty. False when nothing is left.
  bool next(std::string_view& piece) {
    size_t scanned = start_;
    for (;;) {
      const size_t found = delimiter_.empty() ? std::string::npos : buffer_.find(delimiter_, scanned);
      if (found != std::string::npos) {
        take(piece, found - start_, delimiter_.size());
        return true;
      }
      // A delimiter may begin in the last bytes that were searched.
      const size_t searched = buffer_.size() - std::min(buffer_.size() - start_, delimiter_.empty() ? 0 : delimiter_.size() - 1);
      scanned = searched - start_;
      if (!fill()) break;
    }
    if (start_ == buffer_.size()) return false;
    take(piece, buffer_.size() - start_, 0);
    return true;
  }
  int64_t piece_offset() const { return piece_offset_; }  // byte of the file's text where the last piece starts

 private:
  void take(std::string_view& piece, size_t size_bytes, size_t delimiter_bytes) {
    piece = std::string_view(buffer_).substr(start_, size_bytes);
    piece_offset_ = offset_;
    offset_ += static_cast<int64_t>(size_bytes + delimiter_bytes);
    start_ += size_bytes + delimiter_bytes;
  }
  // Moves the open piece to the front of the buffer and reads on; false at the end of the file.
  bool fill() {
    buffer_.erase(0, std::exchange(start_, 0));
    const size_t size = buffer_.size();
    buffer_.resize(size + std::clamp(size / 2, kPieceBytes, kLargestRead));
    const size_t n = source_.read(buffer_.data() + size, buffer_.size() - size);
    buffer_.resize(size + n);
    return n > 0;
  }

  ByteSource& source_;
  std::string delimiter_;
  std::string buffer_;
  size_t start_ = 0;    // of the open piece in buffer_
  int64_t offset_ = 0;  // of the open piece in the file's text
  int64_t piece_offset_ = 0;
};

// What a reader of documents needs to name the place of a mistake.
struct Place {
  const fs::path& path;
  int64_t line = 1;
  std::string shown() const { return join_parts(path.string(), ":", line); }
};

void check_utf8(std::string_view text, int64_t offset, Place place) {
  const size_t valid = valid_utf8_bytes(text);
  if (valid == text.size()) return;
  place.line += std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(valid), '\n');
  const int byte = static_cast<unsigned char>(text[valid]);
  const char* digits = "0123456789abcdef";
  fail<DataError>(place.shown(), ": got byte 0x", digits[byte >> 4], digits[byte & 15], " at byte ",
                  offset + static_cast<int64_t>(valid), ", which is no UTF-8; need UTF-8 text");
}

std::string_view without_carriage_return(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

using Take = std::function<void(std::string&&)>;

// Documents end at an empty line (LF or CRLF). Inside a document line ends stay as they are.
void read_paragraphs(DelimitedReader& lines, Place place, const Take& take) {
  std::string document;
  std::string_view line;
  const auto finish = [&] {
    if (!document.empty()) document.pop_back();  // the last line's \n
    if (document.ends_with('\r')) document.pop_back();
    if (!document.empty()) take(std::exchange(document, {}));
  };
  for (; lines.next(line); ++place.line) {
    check_utf8(line, lines.piece_offset(), place);
    if (without_carriage_return(line).empty()) {
      finish();
    } else {
      document += line;
      document += '\n';
    }
  }
  finish();
}

void read_lines(DelimitedReader& lines, Place place, const Take& take) {
  std::string_view line;
  for (; lines.next(line); ++place.line) {
    check_utf8(line, lines.piece_offset(), place);
    line = without_carriage_return(line);
    if (!line.empty()) take(std::string(line));
  }
}

// Documents are what stands between two separators, byte for byte.
void read_separated(DelimitedReader& pieces, const std::string& separator, Place place, const Take& take) {
  const auto separator_lines = std::count(separator.begin(), separator.end(), '\n');
  std::string_view piece;
  while (pieces.next(piece)) {
    check_utf8(piece, pieces.piece_offset(), place);
    place.line += std::count(piece.begin(), piece.end(), '\n') + separator_lines;
    if (!piece.empty()) take(std::string(piece));
  }
}

void read_json_lines(DelimitedReader& lines, const std::string& field, Place place, const Take& take) {
  std::string_view line;
  for (; lines.next(line); ++place.line) {
    check_utf8(line, lines.piece_offset(), place);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Json json = Json::parse(line, place.shown());
    require<DataError>(json.is_object(), place.shown(), ": got ", json.kind(), " ", quoted_excerpt(line),
                       "; need a JSON object");
    Json* text = json.find(field);
    require<DataError>(text != nullptr, place.shown(), ": got ", quoted_excerpt(line), "; need the text field '", field,
                       "' (--text-field)");
    require<DataError>(text->is_string(), place.shown(), ": got ", text->kind(), " ", quoted_excerpt(text->dump()),
                       " in field '", field, "'; need a string");
    std::string document = text->as_string();
    if (!document.empty()) take(std::move(document));
  }
}

// ".txt" or ".jsonl", whatever the compression; DataError for anything else.
std::string text_suffix(const fs::path& path) {
  const std::string last = path.extension().string();
  const bool is_compressed = last == ".gz" || last == ".xz" || last == ".zst";
  std::string suffix = is_compressed ? path.stem().extension().string() : last;
  require<DataError>(suffix != ".parquet", path.string(),
                     ": got a Parquet file, which this build does not read; need ", kKnownSuffixes);
  require<DataError>(suffix == ".txt" || suffix == ".jsonl", path.string(), ": got suffix '", path.extension().string(),
                     "'; need ", kKnownSuffixes);
  return suffix;
}

// Reports how much of the file was consumed whenever a piece was read.
class ReportingSource final : public ByteSource {
 public:
  ReportingSource(std::unique_ptr<ByteSource> source, const std::function<void(int64_t)>& progress)
      : source_(std::move(source)), progress_(progress) {}
  size_t read(char* out, size_t capacity) override {
    const size_t n = source_->read(out, capacity);
    if (progress_) progress_(source_->compressed_position());
    return n;
  }
  int64_t compressed_position() const override { return source_->compressed_position(); }

 private:
  std::unique_ptr<ByteSource> source_;
  const std::function<void(int64_t)>& progress_;
};

}  // namespace

void check_input(const fs::path& path) {
  text_suffix(path);
  open_byte_source(path);
}

void read_documents(const fs::path& path, const ReaderOptions& options, const Take& take,
                    const std::function<void(int64_t)>& progress) {
  const std::string& separator = options.document_separator;
  require<ConfigError>(!separator.empty(), "--document-separator: got ''; need blank-line, newline, none or a string");
  const bool is_jsonl = text_suffix(path) == ".jsonl";
  ReportingSource source(open_byte_source(path), progress);
  const Place place{path};
  const bool is_by_line = is_jsonl || separator == "blank-line" || separator == "newline";
  DelimitedReader reader(source, is_by_line ? "\n" : separator == "none" ? ""
                                                                         : separator);
  if (is_jsonl) {
    read_json_lines(reader, options.text_field, place, take);
  } else if (separator == "blank-line") {
    read_paragraphs(reader, place, take);
  } else if (separator == "newline") {
    read_lines(reader, place, take);
  } else {
    read_separated(reader, separator, place, take);
  }
}

}  // namespace evenkeel::data
