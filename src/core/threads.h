// Threads that the machine may refuse to start.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace evenkeel {

// n threads that run `work`, which ends once `stop` was called. MachineError when one cannot be started; those that
// were have ended then.
std::vector<std::jthread> start_threads(int64_t n, const std::function<void()>& work,
                                        const std::function<void()>& stop);

// MachineError unless n threads can run at a time now: for libraries that end the process when they cannot.
void require_threads(int64_t n);

}  // namespace evenkeel
