#include "data/readers.h"

#include <utility>

#include "core/errors.h"
#include "data/delimited_reader.h"
#include "data/document_sink.h"
#include "data/json_records.h"
#include "data/parquet_reader.h"
#include "data/text_reader.h"

namespace evenkeel::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKnownSuffixes =
    ".txt, .jsonl, .ndjson or .json (records one a line), each also with .gz, .xz or .zst behind it, or .parquet";

constexpr const char* kParquet = ".parquet";

bool is_json_lines(const std::string& suffix) { return suffix == ".jsonl" || suffix == ".ndjson" || suffix == ".json"; }

// The suffix without the compression's; DataError for one that is not known.
std::string text_suffix(const fs::path& path) {
  const std::string last = path.extension().string();
  const bool is_compressed = last == ".gz" || last == ".xz" || last == ".zst";
  const std::string suffix = is_compressed ? path.stem().extension().string() : last;
  const bool is_known = suffix == ".txt" || is_json_lines(suffix) || (suffix == kParquet && !is_compressed);
  require<DataError>(is_known, path.string(), ": got suffix '", suffix, is_compressed ? last : "", "'; need ",
                     kKnownSuffixes);
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

ReadSummary& ReadSummary::operator+=(const ReadSummary& other) {
  for (const auto& [key, count] : kReadCounts) this->*count += other.*count;
  return *this;
}

std::string BadLine::place() const {
  return path.string() + (unit == RecordUnit::row ? ": row " : ":") + std::to_string(line);
}

void check_input(const fs::path& path) {
  if (text_suffix(path) == kParquet) return check_parquet(path);
  open_byte_source(path);
}

bool is_json_records(const fs::path& path) { return is_json_lines(text_suffix(path)); }

ReadSummary read_documents(const fs::path& path, const ReaderOptions& options, const TakeDocument& take,
                           const std::function<void(int64_t)>& progress) {
  require<ConfigError>(!options.document_separator.empty(),
                       "--document-separator: got ''; need blank-line, newline, none or a string");
  const std::string suffix = text_suffix(path);
  if (suffix == kParquet) {
    DocumentSink rows(path, options, take, RecordUnit::row);
    read_parquet(rows, progress);
    ++rows.summary().n_parquet_files;
    return rows.summary();
  }
  const bool is_records = is_json_lines(suffix);
  ReportingSource source(open_byte_source(path), progress);
  DelimitedReader pieces(source, is_records ? Delimiter{"\n", false} : text_delimiter(options), kMostDocumentBytes);
  DocumentSink sink(path, options, take);
  if (is_records) {
    read_json_records(pieces, sink);
  } else {
    read_text(pieces, sink);
  }
  ++(is_records ? sink.summary().n_json_files : sink.summary().n_text_files);
  return sink.summary();
}

}  // namespace evenkeel::data
