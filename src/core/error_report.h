// How an exception ends the program: its exit code and the one line that says why.
#pragma once

#include <exception>
#include <string>

namespace evenkeel {

struct ErrorReport {
  int exit_code = 1;
  std::string message;       // one line, "WHERE: got ...; need ..."
  std::string line() const;  // "error: MESSAGE"; the message alone after a signal, which is no error
};

// Our errors keep their code. What the machine refuses (memory, a file system call) is 4; the rest is a
// defect of evenkeel, 1.
ErrorReport describe_error(const std::exception& error);

}  // namespace evenkeel
