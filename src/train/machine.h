// What a run was computed on, for results.json.
#pragma once

#include <string>

#include <c10/core/Device.h>

#include "core/json.h"

namespace evenkeel::train {

// {"cpu", "isa", "cores", "memory_bytes", "threads", "device", "torch", "evenkeel"}: the processor's name ("" where the
// system does not tell), the instruction set that LibTorch's kernels use, this process's threads, the device that it
// computes on.
Json machine_json(const at::Device& device);

// The "model name" of a text as in /proc/cpuinfo; "" without one.
std::string cpu_name(const std::string& cpuinfo);

}  // namespace evenkeel::train
