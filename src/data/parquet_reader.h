// Documents out of Parquet files: the strings of one column, a document a row. Arrow's library reads them, and a build
// may lack it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "data/document_sink.h"

namespace evenkeel::data {

// Of the library that this build has: "26.0.0"; empty: none, and every Parquet file is a ConfigError that says so.
std::string arrow_version();

// DataError unless the file ends as a whole Parquet file that is not encrypted does.
void check_parquet(const std::filesystem::path& path);

// The column is the one at the path of the text field: a key names a column, or a field of a column that is a struct,
// as read_json_field takes keys. Its values are strings, or bytes that are UTF-8. A row without a value is an empty
// record. Pages are read one by one, so that memory does not grow with the file or with its row groups. One thread.
// DataError on a damaged file, or where there is no such column. `progress`: as of read_documents.
void read_parquet(DocumentSink& sink, const std::function<void(int64_t)>& progress);

}  // namespace evenkeel::data
