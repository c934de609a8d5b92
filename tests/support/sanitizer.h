// Whether the libraries under test were built with AddressSanitizer: the tests themselves never are
// (scripts/sanitize.sh).
#pragma once

#include <dlfcn.h>

namespace evenkeel::testing {

inline bool is_sanitized() { return dlsym(RTLD_DEFAULT, "__asan_init") != nullptr; }

}  // namespace evenkeel::testing
