// Documents out of JSON records, one a line.
#pragma once

#include "data/delimited_reader.h"
#include "data/document_sink.h"

namespace evenkeel::data {

// `lines` cuts at line feeds. Lines of white space alone are no records.
void read_json_records(DelimitedReader& lines, DocumentSink& sink);

}  // namespace evenkeel::data
