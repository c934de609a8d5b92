#include "core/got_at.h"

namespace evenkeel {

bool names_path(const std::string& where, const std::string& path) {
  return where.starts_with("--") && where.ends_with(" " + path);
}

std::string got_at(const std::string& where, const std::string& path) {
  return where + ": got " + (names_path(where, path) ? "" : path + " = ");
}

}  // namespace evenkeel
