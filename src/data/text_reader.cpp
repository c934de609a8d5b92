#include "data/text_reader.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "core/errors.h"
#include "core/units.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

// One file.
class TextReader {
 public:
  TextReader(DelimitedReader& pieces, DocumentSink& sink)
      : pieces_(pieces), sink_(sink), options_(sink.options()), summary_(sink.summary()) {}

  // Documents end at an empty line.
  void read_paragraphs() {
    std::string document;
    Line line;
    int64_t first_line = 1, n_lines = 0;  // of the document
    bool ends_with_cr_lf = false;         // its last line
    const auto finish = [&] {
      if (!document.empty()) document.pop_back();  // the last line's \n
      if (ends_with_cr_lf && document.ends_with('\r')) document.pop_back();
      sink_.give(std::exchange(document, {}));
      first_line = line_ + 1;
    };
    for (; next_line(line); ++line_) {
      if (line.text.empty()) {
        finish();
        continue;
      }
      if (!is_good_line(line)) continue;
      if (document.size() + line.whole.size() >= kMostDocumentBytes) fail_long_document(first_line);
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
      if (is_good_line(line)) sink_.give(std::string(line.text));
  }

  // Documents are what stands between two separators.
  void read_separated() {
    const std::string& separator = options_.document_separator;
    const bool is_whole_file = separator == "none";
    const auto separator_lines = is_whole_file ? 0 : std::count(separator.begin(), separator.end(), '\n');
    std::string_view piece;
    int64_t n_before = 0;  // bytes of line line_ that stand before the piece
    while (next(piece)) {
      require<DataError>(!pieces_.is_cut(), sink_.where(line_), ": got a document of more than ",
                         human_bytes(kMostDocumentBytes),
                         "; need shorter ones (--document-separator says where to cut)");
      const int64_t first_line = line_;
      std::string document;
      if (options_.on_bad_line) {
        document = good_lines(piece, n_before);
      } else {
        sink_.check_utf8(piece, line_, n_before);
        document = piece;
      }
      line_ = first_line + std::count(piece.begin(), piece.end(), '\n') + separator_lines;
      n_before = bytes_after_line_end(n_before, piece);
      if (!is_whole_file) n_before = bytes_after_line_end(n_before, separator);
      count_in_separator(document, separator);
      sink_.give_with_line_ends(std::move(document),
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

  [[noreturn]] void fail_long_document(int64_t first_line) const {
    fail<DataError>(
        sink_.where(first_line), ": got a document of more than ", human_bytes(kMostDocumentBytes),
        " without a blank line from here on; need shorter ones (--document-separator newline makes each line one)");
  }

  bool next(std::string_view& piece) { return next_of_text(pieces_, sink_.path(), piece); }

  bool is_good_line(const Line& line) {
    return sink_.is_good(line_, pieces_.piece_offset() + line.offset,
                         [&] { sink_.check_line(line.whole, line_, pieces_.is_cut()); });
  }

  // The piece without the lines that are damaged. Counts line_ up. `n_before`: as of DocumentSink::check_utf8.
  std::string good_lines(std::string_view piece, int64_t n_before) {
    if (valid_utf8_bytes(piece) == piece.size()) return std::string(piece);
    std::string out;
    for (size_t begin = 0; begin < piece.size(); ++line_) {
      const size_t end = std::min(piece.find('\n', begin), piece.size() - 1) + 1;
      const std::string_view line = piece.substr(begin, end - begin);
      if (sink_.is_good(line_, pieces_.piece_offset() + static_cast<int64_t>(begin),
                        [&] { sink_.check_utf8(line, line_, begin == 0 ? n_before : 0); }))
        out += line;
      begin = end;
    }
    return out;
  }

  DelimitedReader& pieces_;
  DocumentSink& sink_;
  const ReaderOptions& options_;
  ReadSummary& summary_;
  int64_t line_ = 1;
  std::string_view rest_;  // of the piece that the last line is of
  bool has_rest_ = false;
};

bool is_by_line(const std::string& separator) { return separator == "blank-line" || separator == "newline"; }

}  // namespace

Delimiter text_delimiter(const ReaderOptions& options) {
  const std::string& separator = options.document_separator;
  if (is_by_line(separator)) return {"\n", false};
  if (separator == "none") return {"", false};
  return {separator, !options.keeps_carriage_returns && separator.find('\n') != std::string::npos};
}

void read_text(DelimitedReader& pieces, DocumentSink& sink) {
  const std::string& separator = sink.options().document_separator;
  TextReader reader(pieces, sink);
  if (separator == "blank-line") {
    reader.read_paragraphs();
  } else if (separator == "newline") {
    reader.read_lines();
  } else {
    reader.read_separated();
  }
}

}  // namespace evenkeel::data
