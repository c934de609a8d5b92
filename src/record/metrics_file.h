// The file of figures that a run leaves while it trains: metrics.jsonl, and load.columns beside it (docs/formats.md).
#pragma once

#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "record/load_file.h"
#include "record/run_lines.h"

namespace evenkeel::record {

// Appends whole lines. After a resume no step stands twice: lines beyond the checkpoint are cut first.
class MetricsFile {
 public:
  // Keeps the lines of `path` up to `last_step` (0: starts empty). A torn last line goes too. `n_loads`: MoE layers ×
  // experts; above kMostLoadsInLines the loads go to load.columns. DataError when the lines do not reach `last_step`:
  // the checkpoint of that step relies on them.
  MetricsFile(const std::filesystem::path& path, int64_t last_step, int64_t n_loads);
  // NumericsError, and nothing is written, for a line with a number that is not finite: what stands here can be read
  // back.
  void write(RunLine line);
  // Whether a line of that kind was written of the step that came last, which is `last_step` after a resume.
  template <class Row>
  bool has() const {
    return kinds_.contains(RunLine(Row{}).index());
  }
  void sync();  // before a checkpoint that relies on these lines

 private:
  void remember(const RunLine& line);
  void take_loads(RunLine& line);
  std::unique_ptr<AppendFile> lines_;
  std::unique_ptr<LoadWriter> loads_;  // nullptr where the lines have them
  int64_t step_ = 0;
  std::set<size_t> kinds_;  // of the lines of step_
};

}  // namespace evenkeel::record
