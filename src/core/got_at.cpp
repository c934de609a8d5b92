#include "core/got_at.h"

namespace evenkeel {

std::string got_at(const std::string& where, const std::string& path) {
  const bool names_path = where.starts_with("--") && where.ends_with(" " + path);
  return where + ": got " + (names_path ? "" : path + " = ");
}

}  // namespace evenkeel
