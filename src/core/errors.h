// The errors of evenkeel. Whatever a user, a file or the machine can cause is one of these types and
// carries one line, `where: got ...; need ...`; everything else that is thrown is a defect of evenkeel.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace evenkeel {

class Error : public std::runtime_error {
 public:
  Error(const std::string& message, int exit_code) : std::runtime_error(message), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

template <int kExitCode, int kKind>
class ErrorOf : public Error {
 public:
  explicit ErrorOf(const std::string& message) : Error(message, kExitCode) {}
};

using ConfigError = ErrorOf<2, 0>;      // an option or a recipe
using DataError = ErrorOf<2, 1>;        // text, tokens, tokenizers
using CheckpointError = ErrorOf<2, 2>;  // checkpoints, runs, manifests
using VersionError = ErrorOf<2, 6>;     // a file of a newer evenkeel: whole, but not to be read by this one
using NumericsError = ErrorOf<3, 3>;    // non-finite loss, logits outside a router's stated range
using MachineError = ErrorOf<4, 4>;     // disk, memory, permission, device
using Interrupted = ErrorOf<130, 5>;    // SIGINT or SIGTERM, after a clean save

template <class... Parts>
std::string join_parts(const Parts&... parts) {
  std::ostringstream out;
  out.precision(9);
  (out << ... << parts);
  return out.str();
}

// Adds the item to a list for a message, as in "ids, frequency".
inline void add_to_list(std::string& list, std::string_view item) {
  if (!list.empty()) list += ", ";
  list += item;
}

template <class E, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw E(join_parts(parts...));
}

template <class E, class... Parts>
void require(bool holds, const Parts&... parts) {
  if (!holds) fail<E>(parts...);
}

}  // namespace evenkeel
