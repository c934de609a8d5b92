// The value that a record of JSON has at a path of keys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/json.h"

namespace evenkeel::data {

// A field of a record, and how messages name the record.
struct FieldPlace {
  const std::string& path;          // keys with dots between them, from the record inwards
  std::string where;                // file and line
  std::string or_skip;              // what a message on one damaged record offers
  const char* name = "text field";  // what the field is for, and the option that names it
  const char* option = "--text-field";
};

struct JsonField {
  Json value;                // of any kind
  int64_t n_surrogates = 0;  // lone halves of a pair in the record, which became U+FFFD
};

// A key may hold dots itself: of several ways to read the path, the one that takes the longest key counts, decided at
// the outermost object first. Only objects lie on the way. DataError where the line is no object, or has nothing at the
// path, or has it twice. The rest of the record is read past, not kept.
JsonField read_json_field(std::string_view line, const FieldPlace& place);

// The value as the text of a document; DataError where it is no string.
const std::string& text_of(const JsonField& field, const FieldPlace& place);

}  // namespace evenkeel::data
