#include "data/document_sink.h"

#include <algorithm>

#include "core/hex.h"
#include "core/units.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

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

}  // namespace

std::string_view without_carriage_returns(std::string_view line) {
  while (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

void DocumentSink::pass_over(int64_t line, int64_t byte, std::string reason) {
  if (const std::string place = where(line) + ": "; reason.starts_with(place)) reason.erase(0, place.size());
  options_.on_bad_line({path_, line, byte, std::move(reason), unit_});
  ++summary_.n_bad_lines;
}

void DocumentSink::check_utf8(std::string_view text, int64_t first_line, int64_t n_before) const {
  const size_t valid = valid_utf8_bytes(text);
  if (valid == text.size()) return;
  const std::string_view good = text.substr(0, valid);
  const bool has_lines = unit_ == RecordUnit::line;
  const int64_t line = has_lines ? first_line + std::count(good.begin(), good.end(), '\n') : first_line;
  const size_t line_end = has_lines ? good.rfind('\n') : good.npos;
  const int64_t n_in_line =
      line_end == good.npos ? n_before + static_cast<int64_t>(valid) : static_cast<int64_t>(valid - line_end - 1);
  fail<DataError>(where(line), ": got byte 0x", hex_text(text.substr(valid, 1)), " at byte ", n_in_line + 1,
                  ", which is no UTF-8; need UTF-8 text",
                  has_lines ? " (iconv -f latin1 -t utf-8 makes it of Latin-1" +
                                  (options_.on_bad_line ? ")" : "; " + way_to_skip() + ")")
                            : or_skip());
}

void DocumentSink::check_line(std::string_view text, int64_t line, bool is_cut) const {
  if (is_cut)
    fail<DataError>(where(line), ": got a line of more than ", human_bytes(kMostDocumentBytes), "; need shorter ones",
                    or_skip());
  check_utf8(text, line);
}

void DocumentSink::give_with_line_ends(std::string&& document, bool is_before_line_feed) {
  const LineEnds ends = count_line_ends(is_before_line_feed ? without_carriage_returns(document) : document);
  summary_.n_carriage_returns += ends.n_crlf;
  summary_.n_lone_carriage_returns += ends.n_lone_cr;
  if (!options_.keeps_carriage_returns) normalise_line_ends(document);
  give(std::move(document));
}

void DocumentSink::give(std::string&& document) {
  if (document.empty()) return;
  ++summary_.n_documents;
  summary_.n_text_bytes += static_cast<int64_t>(document.size());
  summary_.n_zero_bytes += std::count(document.begin(), document.end(), '\0');
  take_(std::move(document));
}

}  // namespace evenkeel::data
