#include "data/json_records.h"

#include <string>
#include <string_view>

#include "data/json_field.h"

namespace evenkeel::data {

void read_json_records(DelimitedReader& lines, DocumentSink& sink) {
  std::string_view line;
  for (int64_t number = 1; next_of_text(lines, sink.path(), line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    std::string document;
    int64_t n_surrogates = 0;
    const auto read_record = [&] {
      const FieldPlace place{sink.options().text_field, sink.where(number), sink.or_skip()};
      sink.check_line(line, number, lines.is_cut());
      const JsonField field = read_json_field(line, place);
      document = text_of(field, place);
      n_surrogates = field.n_surrogates;
    };
    if (!sink.is_good(number, lines.piece_offset(), read_record)) continue;
    sink.summary().n_surrogates += n_surrogates;
    if (document.empty()) ++sink.summary().n_empty_records;
    sink.give_with_line_ends(std::move(document));
  }
}

}  // namespace evenkeel::data
