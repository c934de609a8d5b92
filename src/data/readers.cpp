#include "data/readers.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/errors.h"
#include "core/foreign_json.h"
#include "core/units.h"
#include "data/delimited_reader.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKnownSuffixes =
    ".txt, .jsonl, .ndjson or .json (records one a line), each also with .gz, .xz or .zst behind it";

std::string_view without_carriage_returns(std::string_view line) {
  while (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Line ends that are not LF alone.
struct LineEnds {
  int64_t n_crlf = 0;     // CR LF; further CRs before one belong to it
  int64_t n_lone_cr = 0;  // CR without a LF
};

// What `visit(begin, end, has_line_feed)` is called with: each run of CRs of the text, and whether a LF follows it.
template <class F>
void visit_carriage_returns(std::string_view text, F&& visit) {
  for (size_t begin = text.find('\r'); begin != text.npos;) {
    const size_t end = std::min(text.find_first_not_of('\r', begin), text.size());
    visit(begin, end, end < text.size() && text[end] == '\n');
    begin = text.find('\r', end);
  }
}

LineEnds count_line_ends(std::string_view text) {
  LineEnds out;
  visit_carriage_returns(text, [&](size_t begin, size_t end, bool has_line_feed) {
    if (has_line_feed) {
      ++out.n_crlf;
    } else {
      out.n_lone_cr += static_cast<int64_t>(end - begin);
    }
  });
  return out;
}

// Makes each line end CR LF and each CR alone a LF.
void normalise_line_ends(std::string& text) {
  size_t kept = 0, read = 0;  // bytes of the new text, which is never ahead of the old one, and of that
  const auto keep_until = [&](size_t end) {
    std::copy(text.begin() + static_cast<std::ptrdiff_t>(read), text.begin() + static_cast<std::ptrdiff_t>(end),
              text.begin() + static_cast<std::ptrdiff_t>(kept));
    kept += end - read;
    read = end;
  };
  visit_carriage_returns(text, [&](size_t begin, size_t end, bool has_line_feed) {
    keep_until(begin);
    read = end;
    if (has_line_feed) return;  // the LF follows
    std::fill_n(text.begin() + static_cast<std::ptrdiff_t>(kept), end - begin, '\n');
    kept += end - begin;
  });
  keep_until(text.size());
  text.resize(kept);
}

// The text field of a record of JSON.
class FieldReader : public RestartableEvents {
 public:
  FieldReader(const std::string& field, const std::string& where) : field_(field), where_(where) {}
  void restart() override { *this = FieldReader(field_, where_); }
  void open_object() override { open("object"); }
  void close_object() override { --depth_; }
  void open_array() override { open("array"); }
  void close_array() override { --depth_; }
  void key(std::string&& name) override { is_field_ = depth_ == 1 && name == field_; }
  void value(Json&& plain) override {
    const char* kind = plain.kind();
    note(kind);
    if (depth_ == 1 && std::exchange(is_field_, false)) value_ = std::move(plain);
  }

  const char* root_kind() const { return root_kind_; }
  const char* value_kind() const { return value_kind_; }  // nullptr: the record has no such field
  Json& value() { return value_; }                        // null where it is an object or array

 private:
  void open(const char* kind) {
    note(kind);
    if (depth_ == 1) is_field_ = false;
    ++depth_;
  }
  // A value of this kind begins.
  void note(const char* kind) {
    if (depth_ == 0) root_kind_ = kind;
    if (depth_ != 1 || !is_field_) return;
    require<DataError>(value_kind_ == nullptr, where_, ": got the field '", field_,
                       "' twice in one record; need it once");
    value_kind_ = kind;
  }

  std::string field_, where_;
  int depth_ = 0;
  bool is_field_ = false;
  const char* root_kind_ = "nothing";
  const char* value_kind_ = nullptr;
  Json value_;
};

using Take = std::function<void(std::string&&)>;

// One file: where it is, and what becomes of its documents.
class FileReader {
 public:
  FileReader(const fs::path& path, const ReaderOptions& options, const Take& take, DelimitedReader& pieces)
      : path_(path), options_(options), take_(take), pieces_(pieces) {}

  ReadSummary take_summary() { return summary_; }

  // Documents end at an empty line.
  void read_paragraphs() {
    std::string document;
    Line line;
    int64_t first_line = 1, n_lines = 0;  // of the document
    bool ends_with_cr_lf = false;         // its last line
    const auto finish = [&] {
      if (!document.empty()) document.pop_back();  // the last line's \n
      if (ends_with_cr_lf && document.ends_with('\r')) document.pop_back();
      give(std::exchange(document, {}));
      first_line = line_ + 1;
    };
    for (; next_line(line); ++line_) {
      if (line.text.empty()) {
        finish();
        continue;
      }
      if (!is_good([&] { check_line(line); }, line.offset)) continue;
      require<DataError>(
          document.size() + line.whole.size() < kMostDocumentBytes, path_.string(), ":", first_line,
          ": got a document of more than ", human_bytes(kMostDocumentBytes),
          " without a blank line from here on; need shorter ones (--document-separator newline makes each line one)");
      document += options_.keeps_carriage_returns ? line.whole : line.text;
      document += '\n';
      ends_with_cr_lf = line.text.size() < line.whole.size();
      ++n_lines;
    }
    const bool is_uncut = summary_.n_documents == 0 && n_lines > 1;
    finish();
    if (is_uncut) ++summary_.n_uncut_files;
  }

  void read_lines() {
    for (Line line; next_line(line); ++line_)
      if (is_good([&] { check_line(line); }, line.offset)) give(std::string(line.text));
  }

  // Documents are what stands between two separators.
  void read_separated() {
    const std::string& separator = options_.document_separator;
    const bool is_whole_file = separator == "none";
    const auto separator_lines = is_whole_file ? 0 : std::count(separator.begin(), separator.end(), '\n');
    std::string_view piece;
    int64_t n_before = 0;  // bytes of line line_ that stand before the piece
    while (next(piece)) {
      require<DataError>(!pieces_.is_cut(), path_.string(), ":", line_, ": got a document of more than ",
                         human_bytes(kMostDocumentBytes),
                         "; need shorter ones (--document-separator says where to cut)");
      const int64_t first_line = line_;
      std::string document;
      if (options_.on_bad_line) {
        document = good_lines(piece, n_before);
      } else {
        check_utf8(piece, n_before);
        document = piece;
      }
      line_ = first_line + std::count(piece.begin(), piece.end(), '\n') + separator_lines;
      n_before = bytes_after_line_end(n_before, piece);
      if (!is_whole_file) n_before = bytes_after_line_end(n_before, separator);
      count_in_separator(document, separator);
      give_with_line_ends(std::move(document),
                          /*is_before_line_feed=*/pieces_.delimiter_bytes() > 0 && separator[0] == '\n');
    }
  }

  // The bytes of the last line so far, when `text` follows on `n_before` of them.
  static int64_t bytes_after_line_end(int64_t n_before, std::string_view text) {
    const size_t line_end = text.rfind('\n');
    const auto size = static_cast<int64_t>(text.size());
    return line_end == text.npos ? n_before + size : size - static_cast<int64_t>(line_end) - 1;
  }

  // The carriage returns of line ends that are part of the separator after the document. Those that stay before it go,
  // unless they are kept.
  void count_in_separator(std::string& document, const std::string& separator) {
    if (pieces_.delimiter_bytes() == 0) return;
    summary_.n_carriage_returns += static_cast<int64_t>(pieces_.delimiter_bytes() - separator.size());
    if (separator[0] != '\n') return;
    if (options_.keeps_carriage_returns) {
      summary_.n_carriage_returns += document.ends_with('\r') ? 1 : 0;
    } else {
      document.resize(without_carriage_returns(document).size());
    }
  }

  void read_records() {
    std::string_view line;
    for (; next(line); ++line_) {
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      std::string document;
      int64_t n_surrogates = 0;
      if (!is_good([&] { document = text_of_record(line, n_surrogates); })) continue;
      summary_.n_surrogates += n_surrogates;
      if (document.empty()) ++summary_.n_empty_records;
      give_with_line_ends(std::move(document));
    }
  }

 private:
  // A LF ends a line, CR LF too, and where CRs are not kept a CR alone.
  struct Line {
    std::string_view whole, text;  // without its LF, and without the CRs of its end too
    int64_t offset = 0;            // in the piece
  };

  bool next_line(Line& line) {
    if (!has_rest_) {
      if (!next(rest_)) return false;
      line = {rest_, pieces_.delimiter_bytes() > 0 ? without_carriage_returns(rest_) : rest_, 0};
      if (line.text.size() < line.whole.size()) ++summary_.n_carriage_returns;
      summary_.n_lone_carriage_returns += std::count(line.text.begin(), line.text.end(), '\r');
      if (options_.keeps_carriage_returns || pieces_.is_cut()) return true;
      rest_ = line.text;
    } else {
      line = {rest_, rest_, line.offset + static_cast<int64_t>(line.text.size()) + 1};
    }
    const size_t end = rest_.find('\r');
    line.whole = line.text = rest_.substr(0, end);
    rest_.remove_prefix(end == rest_.npos ? rest_.size() : end + 1);
    has_rest_ = !rest_.empty();
    return true;
  }

  std::string where() const { return join_parts(path_.string(), ":", line_); }

  // The next piece, of a file that begins as text does.
  bool next(std::string_view& piece) {
    const bool is_one = pieces_.next(piece);
    if (pieces_.foreign_kind() == nullptr) return is_one;
    const std::string kind = pieces_.foreign_kind();
    fail<DataError>(path_.string(), ": got ", kind, "; need UTF-8 text",
                    kind.starts_with("UTF-") ? " (iconv -f " + kind.substr(0, kind.find(' ')) + " -t UTF-8 makes it)"
                                             : " (or the right name)");
  }

  // Runs a check of the current line. A DataError of it is handed to on_bad_line where there is one.
  template <class F>
  bool is_good(F&& check, int64_t offset = 0) {
    if (!options_.on_bad_line) {
      check();
      return true;
    }
    try {
      check();
      return true;
    } catch (const DataError& error) {
      std::string reason = error.what();
      if (const std::string place = where() + ": "; reason.starts_with(place)) reason.erase(0, place.size());
      options_.on_bad_line({path_, line_, pieces_.piece_offset() + offset, std::move(reason)});
      ++summary_.n_bad_lines;
      return false;
    }
  }

  void check_line(const Line& line) const {
    require<DataError>(!pieces_.is_cut(), where(), ": got a line of more than ", human_bytes(kMostDocumentBytes),
                       "; need shorter ones", or_skip());
    check_utf8(line.whole);
  }

  // What a message on one damaged line offers.
  const char* or_skip() const { return options_.on_bad_line ? "" : " (--skip-bad passes over damaged lines)"; }

  // `n_before`: bytes of the first line that stand before the text. A byte is named as in JSON: from 1, within its
  // line.
  void check_utf8(std::string_view text, int64_t n_before = 0) const {
    const size_t valid = valid_utf8_bytes(text);
    if (valid == text.size()) return;
    const std::string_view good = text.substr(0, valid);
    const int64_t line = line_ + std::count(good.begin(), good.end(), '\n');
    const size_t line_end = good.rfind('\n');
    const int64_t n_in_line =
        line_end == good.npos ? n_before + static_cast<int64_t>(valid) : static_cast<int64_t>(valid - line_end - 1);
    const int byte = static_cast<unsigned char>(text[valid]);
    const char* digits = "0123456789abcdef";
    fail<DataError>(path_.string(), ":", line, ": got byte 0x", digits[byte >> 4], digits[byte & 15], " at byte ",
                    n_in_line + 1, ", which is no UTF-8; need UTF-8 text (iconv -f latin1 -t utf-8 makes it of Latin-1",
                    options_.on_bad_line ? ")" : "; --skip-bad passes over damaged lines)");
  }

  // The piece without the lines that are damaged. Counts line_ up. `n_before`: as of check_utf8.
  std::string good_lines(std::string_view piece, int64_t n_before) {
    if (valid_utf8_bytes(piece) == piece.size()) return std::string(piece);
    std::string out;
    for (size_t begin = 0; begin < piece.size(); ++line_) {
      const size_t end = std::min(piece.find('\n', begin), piece.size() - 1) + 1;
      const std::string_view line = piece.substr(begin, end - begin);
      if (is_good([&] { check_utf8(line, begin == 0 ? n_before : 0); }, static_cast<int64_t>(begin))) out += line;
      begin = end;
    }
    return out;
  }

  std::string text_of_record(std::string_view line, int64_t& n_surrogates) const {
    check_line({line, line});
    FieldReader record(options_.text_field, where());
    try {
      n_surrogates = read_foreign_json(line, where(), record);
    } catch (const DataError& error) {
      require_whole_record(line);
      fail<DataError>(error.what(), or_skip());
    }
    require<DataError>(record.root_kind() == std::string_view("object"), where(), ": got ", record.root_kind(), " ",
                       quoted_excerpt(line), "; need a JSON object in each line",
                       record.root_kind() == std::string_view("array") ? " (jq -c '.[]' makes them of an array)" : "");
    require<DataError>(record.value_kind() != nullptr, where(), ": got ", quoted_excerpt(line),
                       "; need the text field '", options_.text_field, "' (--text-field)", or_skip());
    Json& value = record.value();
    if (!value.is_string()) {
      const std::string shown = value.is_null() ? "" : " " + quoted_excerpt(value.dump());
      fail<DataError>(where(), ": got ", record.value_kind(), shown, " in field '", options_.text_field,
                      "'; need a string", or_skip());
    }
    return value.as_string();
  }

  // A line that a JSON document goes on after.
  void require_whole_record(std::string_view line) const {
    const std::string_view text = line.substr(0, line.find_last_not_of(" \t\r") + 1);
    const bool goes_on = text.ends_with('[') || text.ends_with('{') || text.ends_with(',');
    require<DataError>(!goes_on, where(), ": got ", quoted_excerpt(line),
                       ", after which the JSON goes on in the next line; need one record a line (",
                       text.find_first_not_of(" \t") == text.find('[') ? "jq -c '.[]' makes them of an array)"
                                                                       : "jq -c . writes them so)");
  }

  // `is_before_line_feed`: the CRs that the document ends with belong to a line end that is counted already.
  void give_with_line_ends(std::string&& document, bool is_before_line_feed = false) {
    const LineEnds ends = count_line_ends(is_before_line_feed ? without_carriage_returns(document) : document);
    summary_.n_carriage_returns += ends.n_crlf;
    summary_.n_lone_carriage_returns += ends.n_lone_cr;
    if (!options_.keeps_carriage_returns) normalise_line_ends(document);
    give(std::move(document));
  }
  void give(std::string&& document) {
    if (document.empty()) return;
    ++summary_.n_documents;
    summary_.n_text_bytes += static_cast<int64_t>(document.size());
    summary_.n_zero_bytes += std::count(document.begin(), document.end(), '\0');
    take_(std::move(document));
  }

  const fs::path& path_;
  const ReaderOptions& options_;
  const Take& take_;
  DelimitedReader& pieces_;
  int64_t line_ = 1;
  std::string_view rest_;  // of the piece that the last line is of
  bool has_rest_ = false;
  ReadSummary summary_;
};

bool is_json_lines(const std::string& suffix) { return suffix == ".jsonl" || suffix == ".ndjson" || suffix == ".json"; }

// The suffix without the compression's; DataError for one that is not known.
std::string text_suffix(const fs::path& path) {
  const std::string last = path.extension().string();
  const bool is_compressed = last == ".gz" || last == ".xz" || last == ".zst";
  const std::string suffix = is_compressed ? path.stem().extension().string() : last;
  require<DataError>(suffix != ".parquet", path.string(), ": got a Parquet file, whose reading is not there yet; need ",
                     kKnownSuffixes);
  require<DataError>(suffix == ".txt" || is_json_lines(suffix), path.string(), ": got suffix '", suffix,
                     is_compressed ? last : "", "'; need ", kKnownSuffixes);
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

void check_input(const fs::path& path) {
  text_suffix(path);
  open_byte_source(path);
}

ReadSummary read_documents(const fs::path& path, const ReaderOptions& options, const Take& take,
                           const std::function<void(int64_t)>& progress) {
  const std::string& separator = options.document_separator;
  require<ConfigError>(!separator.empty(), "--document-separator: got ''; need blank-line, newline, none or a string");
  const bool is_records = is_json_lines(text_suffix(path));
  const bool is_by_line = is_records || separator == "blank-line" || separator == "newline";
  ReportingSource source(open_byte_source(path), progress);
  Delimiter delimiter{is_by_line ? "\n" : separator == "none" ? "" : separator, false};
  delimiter.takes_carriage_returns =
      !is_by_line && !options.keeps_carriage_returns && delimiter.text.find('\n') != std::string::npos;
  DelimitedReader pieces(source, std::move(delimiter), kMostDocumentBytes);
  FileReader reader(path, options, take, pieces);
  if (is_records) {
    reader.read_records();
  } else if (separator == "blank-line") {
    reader.read_paragraphs();
  } else if (separator == "newline") {
    reader.read_lines();
  } else {
    reader.read_separated();
  }
  ReadSummary summary = reader.take_summary();
  ++(is_records ? summary.n_json_files : summary.n_text_files);
  return summary;
}

}  // namespace evenkeel::data
