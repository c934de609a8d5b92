// What results say of the steps of a phase, gathered step by step, so that a run of any length is read in little
// memory.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "record/run_lines.h"

namespace evenkeel::train {

constexpr size_t kShiftWindow = 50;  // experiments.md: steps before and after a shift

// The MRI of a step: the mean over its layers, then that of each.
std::vector<double> mri_columns(const std::vector<record::LayerRouting>& routing);

// How the MRI moves after a shift, in one of mri_columns. Steps are counted from 1 in the phase.
struct ShiftFigures {
  double first = 0;
  double peak = 0;  // of the first kShiftWindow steps
  int64_t peak_step = 0;
  // The first step after the peak at which the mean of 5 steps is at most 1.1 times `before`.
  std::optional<int64_t> steps_to_recover;
  double after = 0;  // the mean over the last eighth of the steps
};

class PhaseFigures {
 public:
  // `before`: the MRI before the phase, for each of mri_columns; nullopt where it is not known.
  void begin(std::vector<std::optional<double>> before) { before_ = std::move(before); }
  void add(const record::StepRow& step);

  int64_t n_steps() const { return n_steps_; }
  int64_t first_step() const { return first_step_; }  // of the run
  int64_t last_step() const { return last_step_; }
  double seconds() const { return seconds_; }
  // Sequences drawn of each source by its name in the metrics; empty where the steps do not say it.
  const std::map<std::string, int64_t>& drawn() const { return drawn_; }
  // Over the steps that say them: of the tokens without padding the share that was scored, and of all of them padding.
  std::optional<double> scored_share() const;
  std::optional<double> padding_share() const;
  const std::vector<int64_t>& layers() const { return layers_; }  // with experts; empty for a dense model
  const std::optional<double>& before(size_t column) const { return before_.at(column); }  // as begin() got it
  std::optional<double> last_mri(int64_t layer) const;  // of the phase's last step; nullopt of a layer without experts
  ShiftFigures shift(size_t column) const;              // after a step, of a model with experts
  std::vector<double> dropped_at_end() const;           // by layer, the mean over the last eighth of the steps
  std::optional<double> mean_dropped() const;           // over steps and layers

 private:
  using Row = std::vector<double>;
  bool has_recovered(const std::deque<Row>& last, size_t column) const;
  std::vector<std::optional<double>> before_;
  int64_t n_steps_ = 0, first_step_ = 0, last_step_ = 0, n_dropped_ = 0, n_shares_ = 0;
  double seconds_ = 0, dropped_sum_ = 0;
  double scored_sum_ = 0, padding_sum_ = 0;  // of shares of the steps' tokens, which are as many in each
  std::map<std::string, int64_t> drawn_;
  std::vector<int64_t> layers_;
  std::vector<Row> first_rows_;                        // MRI of up to kShiftWindow steps
  std::deque<Row> recent_;                             // of the last five
  std::vector<std::optional<int64_t>> late_recovery_;  // beyond first_rows_, by column
  std::deque<Row> end_mri_, end_dropped_;              // of the last eighth
};

}  // namespace evenkeel::train
