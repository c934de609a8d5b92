// What the accessors of Json throw, and where in a document it happened.
#pragma once

#include <string>

#include "core/errors.h"
#include "core/json.h"

namespace evenkeel {

class JsonError : public DataError {
 public:
  // `what`: "got null; need integer", of `value`.
  JsonError(const std::string& what, const Json& value) : DataError("JSON: " + what), value_(&value) {}
  const Json* value() const { return value_; }  // to be compared, not to be read: it may be gone

 private:
  const Json* value_;
};

// The same error as one that names the file and the key: "PATH: phase[0].steps: got null; need integer". Without the
// key where the value is not one of `document`.
DataError error_in(const std::string& path, const Json& document, const JsonError& error);

}  // namespace evenkeel
