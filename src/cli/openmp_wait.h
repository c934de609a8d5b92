// How OpenMP's threads wait for each other: they spin briefly, then sleep. GNU's runtime, which LibTorch brings along,
// spins for some 10 ms by default; beside another busy process a thread that spins then holds the very core that the
// awaited thread needs. The runtime reads its environment while it is loaded, before main, so the setting has to be
// there when the program starts.
#pragma once

namespace evenkeel::cli {

// Turns of the loop in which a thread waits before it sleeps (GOMP_SPINCOUNT), some 18 microseconds; why so many:
// docs/architecture.md.
constexpr const char* kWaitSetting = "GOMP_SPINCOUNT=900";

// Whether the environment (NAME=VALUE, nullptr at the end) says itself how threads wait, to GNU's runtime or to LLVM's
// and Intel's.
bool has_wait_setting(const char* const* environment);

// Puts kWaitSetting into the environment by replacing this process's program with itself, same process, same arguments.
// Returns, with nothing changed, when a setting is there, when it was done before, and where it cannot be done. For
// .preinit_array: it uses nothing that a constructor of a library would have to make ready, and the libraries' own
// start-up is not paid twice.
void set_openmp_wait(int argc, char** argv, char** environment);

}  // namespace evenkeel::cli
