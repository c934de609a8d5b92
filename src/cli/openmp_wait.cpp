#include "cli/openmp_wait.h"

#include <alloca.h>
#include <cstddef>
#include <cstring>

#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace evenkeel::cli {
namespace {

constexpr const char* kSelf = "/proc/self/exe";
// KMP_…: LLVM's and Intel's runtimes, which a LibTorch of another origin may bring.
constexpr const char* kSettings[] = {"OMP_WAIT_POLICY=", "GOMP_SPINCOUNT=", "KMP_BLOCKTIME=", "KMP_LIBRARY="};

// The path that the kernel was given for this program.
const char* given_path() {
  const auto address = getauxval(AT_EXECFN);
  return address != 0 ? reinterpret_cast<const char*>(address) : "";
}

// The kernel names a process by the path that it was given, which was kSelf: back to the name by which it was called.
void restore_process_name(const char* called) {
  const char* slash = std::strrchr(called, '/');
  prctl(PR_SET_NAME, slash != nullptr ? slash + 1 : called, 0, 0, 0);
}

}  // namespace

bool has_wait_setting(const char* const* environment) {
  for (; *environment != nullptr; ++environment)
    for (const char* name : kSettings)
      if (std::strncmp(*environment, name, std::strlen(name)) == 0) return true;
  return false;
}

void set_openmp_wait(int argc, char** argv, char** environment) {
  // Even where something takes the setting out again, the path tells that this was done: no loop.
  if (std::strcmp(given_path(), kSelf) == 0) {
    if (argc > 0) restore_process_name(argv[0]);
    return;
  }
  // Started as an argument of the dynamic loader: kSelf is then the loader, which would take our first argument for a
  // program.
  if (getauxval(AT_BASE) == 0) return;
  if (has_wait_setting(environment)) return;
  size_t n = 0;
  while (environment[n] != nullptr) ++n;
  auto** with_setting = static_cast<const char**>(alloca((n + 2) * sizeof(char*)));
  std::memcpy(with_setting, environment, n * sizeof(char*));
  with_setting[n] = kWaitSetting;
  with_setting[n + 1] = nullptr;
  execve(kSelf, argv, const_cast<char* const*>(with_setting));  // returns only where it cannot be done
}

}  // namespace evenkeel::cli
