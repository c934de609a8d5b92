// What becomes of the documents of one file, of whatever format: line ends made LF, counts, damaged ones passed over.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "core/errors.h"
#include "data/readers.h"

namespace evenkeel::data {

std::string_view without_carriage_returns(std::string_view line);  // of its end

class DocumentSink {
 public:
  DocumentSink(const std::filesystem::path& path, const ReaderOptions& options, const TakeDocument& take,
               RecordUnit unit = RecordUnit::line)
      : path_(path), options_(options), take_(take), unit_(unit) {}

  const std::filesystem::path& path() const { return path_; }
  const ReaderOptions& options() const { return options_; }
  ReadSummary& summary() { return summary_; }

  // A line is a row where the unit is one.
  std::string where(int64_t line) const { return BadLine{path_, line, 0, "", unit_}.place(); }
  // What a message on one damaged line offers.
  std::string or_skip() const { return options_.on_bad_line ? "" : " (" + way_to_skip() + ")"; }

  // Runs a check of what stands in `line`, from this byte of the text on. A DataError of it is handed to on_bad_line
  // where there is one.
  template <class F>
  bool is_good(int64_t line, int64_t byte, F&& check) {
    if (!options_.on_bad_line) {
      check();
      return true;
    }
    try {
      check();
      return true;
    } catch (const DataError& error) {
      pass_over(line, byte, error.what());
      return false;
    }
  }

  // `n_before`: bytes of the first line that stand before the text. A byte is named as in JSON: from 1, within its
  // line, or within the row.
  void check_utf8(std::string_view text, int64_t first_line, int64_t n_before = 0) const;

  // DataError where the line is no UTF-8, or was cut because it is too long.
  void check_line(std::string_view text, int64_t line, bool is_cut) const;

  // A document with the line ends that it came with. `is_before_line_feed`: the CRs that it ends with belong to a line
  // end that is counted already.
  void give_with_line_ends(std::string&& document, bool is_before_line_feed = false);
  void give(std::string&& document);

 private:
  void pass_over(int64_t line, int64_t byte, std::string reason);
  std::string way_to_skip() const {
    return std::string("--skip-bad passes over damaged ") + (unit_ == RecordUnit::row ? "rows" : "lines");
  }

  const std::filesystem::path& path_;
  const ReaderOptions& options_;
  const TakeDocument& take_;
  RecordUnit unit_;
  ReadSummary summary_;
};

}  // namespace evenkeel::data
