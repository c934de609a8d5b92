#include "core/columns.h"

#include <cmath>
#include <cstdio>

namespace evenkeel::columns {
namespace {

void require_kind(bool is_it, const Json& json, const char* kind, const std::string& what, const std::string& where) {
  require<DataError>(is_it, where, ": got ", json.kind(), " as ", what, "; need ", kind);
}

}  // namespace

void require_array(const Json& json, const std::string& what, const std::string& where) {
  require_kind(json.is_array(), json, "an array", what, where);
}
void require_object(const Json& json, const std::string& what, const std::string& where) {
  require_kind(json.is_object(), json, "an object", what, where);
}

void fail_range(const Json& number, Range range, const std::string& what, const std::string& where) {
  char needed[64];
  if (std::isinf(range.most)) {
    std::snprintf(needed, sizeof needed, "%g or more", range.least);
  } else {
    std::snprintf(needed, sizeof needed, "%g to %g", range.least, range.most);
  }
  fail<DataError>(where, ": got ", number.dump(), " as ", what, "; need ", needed);
}

void read_field(const Json& json, bool& out, const std::string& what, const std::string& where) {
  require_kind(json.is_bool(), json, "true or false", what, where);
  out = json.as_bool();
}
void read_field(const Json& json, int64_t& out, const std::string& what, const std::string& where) {
  require_kind(json.is_integer(), json, "an integer", what, where);
  out = json.as_int();
}
void read_field(const Json& json, double& out, const std::string& what, const std::string& where) {
  require_kind(json.is_number(), json, "a number", what, where);
  out = json.as_double();
}
void read_field(const Json& json, std::string& out, const std::string& what, const std::string& where) {
  require_kind(json.is_string(), json, "a text", what, where);
  out = json.as_string();
}

}  // namespace evenkeel::columns
