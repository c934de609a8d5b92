#include "core/error_report.h"

#include <filesystem>
#include <new>
#include <system_error>

#include <c10/util/Exception.h>

#include "core/errors.h"

namespace evenkeel {
namespace {

constexpr int kMachine = 4, kDefect = 1, kInterrupted = 130;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

ErrorReport out_of_memory(const std::string& detail) {
  return {kMachine, "memory: got " + detail + "; need a smaller micro_batch_size, model or sequence"};
}

}  // namespace

std::string ErrorReport::line() const { return exit_code == kInterrupted ? message : "error: " + message; }

ErrorReport describe_error(const std::exception& error) {
  if (const auto* ours = dynamic_cast<const Error*>(&error)) return {ours->exit_code(), first_line(ours->what())};
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return out_of_memory("no more from the machine");
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
    return {kMachine, file->path1().string() + ": got '" + file->code().message() + "'; need a path that can be read and written"};
  if (const auto* system = dynamic_cast<const std::system_error*>(&error);
      system != nullptr && system->code() == std::errc::resource_unavailable_try_again)
    return {kMachine, "threads: got '" + system->code().message() +
                          "' on starting one; need a machine that lets more run, or fewer (--threads)"};
  std::string what = error.what();
  if (const auto* library = dynamic_cast<const c10::Error*>(&error)) what = library->what_without_backtrace();
  for (const char* phrase : {"out of memory", "can't allocate memory"})
    if (what.find(phrase) != std::string::npos) return out_of_memory("'" + first_line(what) + "'");
  return {kDefect, "evenkeel: got an unexpected '" + first_line(what) + "'; please report this defect"};
}

}  // namespace evenkeel
