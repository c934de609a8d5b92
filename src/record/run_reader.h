// Reads what a run has written so far, line by line, in memory that does not grow with its length.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/json_lines.h"
#include "record/load_file.h"
#include "record/run_lines.h"

namespace evenkeel::record {

// Whether the loads of a step are wanted, where load.columns has them. Those of evaluations always come.
using WantsLoad = std::function<bool(int64_t step)>;
inline bool no_loads(int64_t) { return false; }
inline bool all_loads(int64_t) { return true; }

class RunReader {
 public:
  // `metrics`: a metrics.jsonl; load.columns lies beside it. DataError when it is missing.
  explicit RunReader(std::filesystem::path metrics, WantsLoad wants_load = no_loads);
  // The next line; nullopt where there is none that is whole yet. What is appended afterwards comes by the next call.
  // DataError names the line that is damaged or whose figures cannot be, or where steps are missing: those of a run are
  // 1, 2, … without a hole, and those of each phase.
  std::optional<RunLine> next();
  int64_t step() const { return step_; }                // of the line that came last; 0 before
  std::string place() const { return lines_.place(); }  // of that line
  int64_t end_byte() const { return end_byte_; }        // of that line in metrics.jsonl
  int64_t loads_end_byte() const { return loads_ == nullptr ? 0 : loads_end_byte_; }  // of its loads in load.columns

 private:
  void take_place(const RunLine& line);
  void require_progress(const RunLine& line);
  void require_shape(const RunLine& line);
  void require_routing(const std::vector<LayerRouting>& routing);
  bool find_loads(RunLine& line);
  bool find_loads(int64_t step, const std::string& data, std::vector<LayerRouting>& routing, bool is_wanted);
  LineReader lines_;
  std::filesystem::path loads_path_;
  std::unique_ptr<LoadReader> loads_;
  WantsLoad wants_load_;
  bool has_ended_ = false;                      // at a line whose loads a crash has lost
  std::set<size_t> kinds_;                      // of the lines of step_ so far
  std::optional<std::vector<int64_t>> layers_;  // with experts; none before a line says it
  std::optional<size_t> n_experts_;
  std::string phase_;  // of the step that came last
  int64_t phase_step_ = 0, tokens_ = 0;
  int64_t step_ = 0, end_byte_ = 0, loads_end_byte_ = 0;
};

// Every line of a metrics.jsonl with its loads, for a run that is known to be short.
std::vector<RunLine> read_run_lines(const std::filesystem::path& metrics);

// The step of the last whole line; 0 without one that is whole and of a run. Reads the end of the file alone. DataError
// when there is none.
int64_t last_step_in(const std::filesystem::path& metrics);

}  // namespace evenkeel::record
