// Documents out of text: cut at blank lines, at every line, at a string, or not at all.
#pragma once

#include "data/delimited_reader.h"
#include "data/document_sink.h"

namespace evenkeel::data {

// What a file of text is cut at before read_text goes through the pieces.
Delimiter text_delimiter(const ReaderOptions& options);

void read_text(DelimitedReader& pieces, DocumentSink& sink);

}  // namespace evenkeel::data
