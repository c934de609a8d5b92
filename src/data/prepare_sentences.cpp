#include <algorithm>
#include <iterator>

#include "core/counted.h"
#include "core/errors.h"
#include "core/units.h"
#include "data/prepare.h"

namespace evenkeel::data {
namespace {

std::string tokens_of(const Json& pair) { return human_count(pair.at("tokens").as_double()) + " tokens"; }

std::string place_of_cut(const std::string& separator) {
  if (separator == "blank-line") return "cut at blank lines";
  if (separator == "newline") return "one a line";
  if (separator == "none") return "one a file";
  return "cut at " + Json(separator).dump();
}

// " (text: cut at blank lines; JSON: one a record; Parquet: one a row)", of what was read and cut alone. Where all
// inputs are of one kind it is not named.
std::string places_of_cuts(const ReadSummary& read, const std::string& separator) {
  struct Kind {
    const char* name;
    int64_t n_files, n_cut;
    std::string place;
  };
  const Kind kinds[] = {{"text: ", read.n_text_files, read.n_text_files - read.n_uncut_files, place_of_cut(separator)},
                        {"JSON: ", read.n_json_files, read.n_json_files, "one a record"},
                        {"Parquet: ", read.n_parquet_files, read.n_parquet_files, "one a row"}};
  const auto is_there = [](const Kind& kind) { return kind.n_files > 0; };
  const bool is_mixed = std::count_if(std::begin(kinds), std::end(kinds), is_there) > 1;
  std::string out;
  for (const auto& kind : kinds)
    if (kind.n_cut > 0) out += (out.empty() ? "" : "; ") + (is_mixed ? kind.name + kind.place : kind.place);
  return out.empty() ? "" : " (" + out + ")";
}

}  // namespace

std::string counted_bad_lines(const ReadSummary& read) {
  const bool has_lines = read.n_text_files + read.n_json_files > 0, has_rows = read.n_parquet_files > 0;
  return counted(read.n_bad_lines, !has_rows ? "damaged line" : has_lines ? "damaged line or row" : "damaged row");
}

std::vector<std::string> changes_in_reading(const ReadSummary& read, const ReaderOptions& options) {
  std::vector<std::string> out;
  const char* what_became = options.keeps_carriage_returns ? " kept (--keep-cr)" : " read as LF (--keep-cr keeps them)";
  if (read.n_empty_records > 0) out.push_back(counted(read.n_empty_records, "record") + " without text: no document");
  if (read.n_carriage_returns > 0) out.push_back(counted(read.n_carriage_returns, "line end") + " CR LF" + what_became);
  if (read.n_lone_carriage_returns > 0)
    out.push_back(counted(read.n_lone_carriage_returns, "line end") + " CR" + what_became);
  if (read.n_surrogates > 0)
    out.push_back(counted(read.n_surrogates, "lone surrogate") + " (half of a pair, as \\ud83d alone) became U+FFFD");
  if (read.n_zero_bytes > 0)
    out.push_back(counted(read.n_zero_bytes, "zero byte") + " in the text: kept (is it text?)");
  return out;
}

std::vector<std::string> sentences(const Prepared& prepared, const std::string& prefix, const ReaderOptions& reader) {
  const Json &kept = prepared.kept, &held_out = prepared.held_out;
  const int64_t n_documents = prepared.read.n_documents, n_inputs = static_cast<int64_t>(kept.at("inputs").size());
  std::vector<std::string> out;
  out.push_back("read " + counted(n_documents, "document") + places_of_cuts(prepared.read, reader.document_separator) +
                ", " + human_bytes(static_cast<double>(prepared.read.n_text_bytes)) + ", from " +
                counted(n_inputs, "input"));
  if (prepared.read.n_uncut_files > 0)
    out.push_back(counted(prepared.read.n_uncut_files, "input") +
                  " without a blank line: one document each (--document-separator newline would make each line one)");
  for (auto& change : changes_in_reading(prepared.read, reader)) out.push_back(std::move(change));
  if (prepared.n_without_tokens > 0)
    out.push_back(counted(prepared.n_without_tokens, "document") +
                  " of which the tokenizer makes no token, with --eod none: left out");
  if (prepared.holdout != Holdout::blocks)
    out.push_back(prefix + ": " + tokens_of(kept) + " in " + counted(kept.at("documents").as_int(), "document"));
  if (const Json* scored = kept.find("scored"))
    out.push_back(prefix + ".scored: " + human_count(scored->at("tokens").as_double()) +
                  " tokens are scored, by the template " + scored->at("template").as_string());
  if (prepared.holdout == Holdout::none) return out;

  const double n_held = held_out.at("tokens").as_double(), n_all = n_held + kept.at("tokens").as_double();
  char percent[32];
  std::snprintf(percent, sizeof percent, "%.3g %%", 100 * n_held / n_all);
  const std::string share = tokens_of(held_out) + ", " + percent + " of all";
  if (prepared.holdout == Holdout::documents) {
    out.push_back(prefix + "-heldout: " + share + ", in " + counted(held_out.at("documents").as_int(), "document") +
                  ", chosen by hash of the text");
    return out;
  }
  out.push_back(prefix + ": " + tokens_of(kept));
  out.push_back(prefix + "-heldout: " + share +
                ", in blocks of 4,096 tokens (held out by documents from 1,000 documents on)");
  out.push_back("a document is cut where a held-out block begins or ends: the " + counted(n_documents, "document") +
                " became " + counted(kept.at("documents").as_int(), "part") + " in " + prefix + " and " +
                std::to_string(held_out.at("documents").as_int()) + " in " + prefix + "-heldout");
  return out;
}

}  // namespace evenkeel::data
