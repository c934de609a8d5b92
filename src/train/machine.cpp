#include "train/machine.h"

#include <fstream>
#include <sstream>

#include "core/cores.h"
#include "ops/device.h"
#include "train/memory_limit.h"

namespace evenkeel::train {

std::string cpu_name(const std::string& cpuinfo) {
  std::istringstream lines(cpuinfo);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t first = line.find_first_not_of(" \t", line.find(':') + 1);
    return line.find(':') == std::string::npos || first == std::string::npos ? "" : line.substr(first);
  }
  return "";
}

Json machine_json(const at::Device& device) {
  std::ostringstream cpuinfo;
  cpuinfo << std::ifstream("/proc/cpuinfo").rdbuf();
  Json out = Json::object();
  out["cpu"] = cpu_name(cpuinfo.str());
  out["isa"] = ops::cpu_isa();
  out["cores"] = allowed_cores();
  out["memory_bytes"] = static_cast<int64_t>(machine_memory_bytes());
  out["threads"] = ops::n_threads();
  out["device"] = ops::device_name(device);
  out["torch"] = ops::torch_version();
  out["evenkeel"] = EVENKEEL_VERSION;
  return out;
}

}  // namespace evenkeel::train
