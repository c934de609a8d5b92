// The lines of a run's metrics.jsonl (docs/formats.md), checked in one place for whoever reads them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/json.h"

namespace evenkeel {

// Takes the lines of one file in their order. Each is an object with a step and its phase, and of what a step, an evaluation or a
// saturation says, as far as it is there, of the right kind. Steps are 1, 2, … without a hole and each once; after a step, or before the
// first one, come at most one evaluation and one saturation of it. All have the same number of layers with experts, and of experts.
class RunLines {
 public:
  void add(const Json& line, const std::string& where);  // DataError "WHERE: got …; need …"
  int64_t step() const { return step_; }                 // of the last line; 0 before there is one

 private:
  void take_place(const Json& line, const std::string& where);
  void add_routing(const Json& holder, const std::string& where);
  void add_load(const Json& layer, const std::string& where);
  int64_t step_ = 0;
  std::set<std::string> kinds_;                 // of the lines of step_ so far
  std::optional<size_t> n_layers_, n_experts_;  // none before a line says it
};

// The lines of a metrics.jsonl, each checked so; a last one that a kill has torn is left out. DataError names the path and the line.
std::vector<Json> read_run_lines(const std::filesystem::path& path);

}  // namespace evenkeel
