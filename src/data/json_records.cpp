#include "data/json_records.h"

#include <string>
#include <string_view>

#include "data/json_field.h"

namespace evenkeel::data {
namespace {

std::string document_of(const JsonField& field, const FieldPlace& place, const ReaderOptions& options) {
  try {
    return options.document_of_value(field.value);
  } catch (const DataError& error) {
    fail<DataError>(place.where, ": field '", place.path, "': ", error.what(), place.or_skip);
  }
}

}  // namespace

void read_json_records(DelimitedReader& lines, DocumentSink& sink) {
  std::string_view line;
  for (int64_t number = 1; next_of_text(lines, sink.path(), line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    std::string document;
    int64_t n_surrogates = 0;
    const auto read_record = [&] {
      FieldPlace place{sink.options().text_field, sink.where(number), sink.or_skip()};
      if (sink.options().document_of_value) place.name = "field", place.option = "--messages";
      sink.check_line(line, number, lines.is_cut());
      const JsonField field = read_json_field(line, place);
      document = sink.options().document_of_value ? document_of(field, place, sink.options()) : text_of(field, place);
      n_surrogates = field.n_surrogates;
    };
    if (!sink.is_good(number, lines.piece_offset(), read_record)) continue;
    sink.summary().n_surrogates += n_surrogates;
    if (document.empty()) ++sink.summary().n_empty_records;
    sink.give_with_line_ends(std::move(document));
  }
}

}  // namespace evenkeel::data
