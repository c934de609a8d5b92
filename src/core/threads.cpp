#include "core/threads.h"

#include <latch>
#include <system_error>

#include "core/errors.h"

namespace evenkeel {

std::vector<std::jthread> start_threads(int64_t n, const std::function<void()>& work,
                                        const std::function<void()>& stop) {
  std::vector<std::jthread> threads;
  try {
    for (int64_t i = 0; i < n; ++i) threads.emplace_back(work);
  } catch (const std::system_error& error) {
    const size_t n_started = threads.size();
    stop();
    threads.clear();  // each is joined
    fail<MachineError>("--threads: got '", error.code().message(), "' on starting thread ", n_started + 1, " of ", n,
                       "; need fewer threads, or a machine that lets them run");
  }
  return threads;
}

void require_threads(int64_t n) {
  std::latch may_end(1);
  const auto threads = start_threads(
      n, [&] { may_end.wait(); }, [&] { may_end.count_down(); });
  may_end.count_down();
}

}  // namespace evenkeel
