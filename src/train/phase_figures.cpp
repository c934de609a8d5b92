#include "train/phase_figures.h"

#include <algorithm>

namespace evenkeel::train {
namespace {

constexpr size_t kRecoverySteps = 5;
constexpr double kRecovered = 1.1;  // times the MRI before the shift

// The number of a phase's last steps that stand for its end: an eighth, rounded, at least one.
size_t last_eighth(int64_t n_steps) { return static_cast<size_t>(std::max<int64_t>(1, (n_steps + 4) / 8)); }

template <class Rows>
double mean_of(const Rows& rows, size_t column) {
  double sum = 0;
  for (const auto& row : rows) sum += row[column];
  return sum / static_cast<double>(rows.size());
}

void keep_last(std::deque<std::vector<double>>& rows, std::vector<double> row, size_t most) {
  rows.push_back(std::move(row));
  while (rows.size() > most) rows.pop_front();
}

}  // namespace

std::vector<double> mri_columns(const std::vector<record::LayerRouting>& routing) {
  std::vector<double> out = {0};
  for (const auto& layer : routing) {
    out[0] += layer.mri;
    out.push_back(layer.mri);
  }
  out[0] /= static_cast<double>(std::max<size_t>(1, routing.size()));
  return out;
}

bool PhaseFigures::has_recovered(const std::deque<Row>& last, size_t column) const {
  return last.size() == kRecoverySteps && before_[column] && mean_of(last, column) <= kRecovered * *before_[column];
}

void PhaseFigures::add(const record::StepRow& step) {
  if (n_steps_ == 0) {
    first_step_ = step.step;
    for (const auto& layer : step.routing) layers_.push_back(layer.layer);
    before_.resize(layers_.size() + 1);
    late_recovery_.resize(layers_.size() + 1);
  }
  ++n_steps_;
  last_step_ = step.step;
  seconds_ += step.seconds;
  for (const auto& [source, count] : step.sources) drawn_[source] += count;
  if (step.scored_share && step.padding_share) {
    ++n_shares_;
    padding_sum_ += *step.padding_share;
    scored_sum_ += *step.scored_share * (1 - *step.padding_share);
  }
  if (layers_.empty() || step.routing.size() != layers_.size()) return;

  Row dropped;
  for (const auto& layer : step.routing) {
    dropped.push_back(layer.dropped);
    dropped_sum_ += layer.dropped;
    ++n_dropped_;
  }
  const Row mri = mri_columns(step.routing);
  keep_last(recent_, mri, kRecoverySteps);
  if (first_rows_.size() < kShiftWindow) {
    first_rows_.push_back(mri);
  } else {
    for (size_t column = 0; column < late_recovery_.size(); ++column)
      if (!late_recovery_[column] && has_recovered(recent_, column)) late_recovery_[column] = n_steps_;
  }
  keep_last(end_mri_, mri, last_eighth(n_steps_));
  keep_last(end_dropped_, std::move(dropped), last_eighth(n_steps_));
}

std::optional<double> PhaseFigures::scored_share() const {
  const double n_tokens = static_cast<double>(n_shares_) - padding_sum_;
  return n_tokens > 0 ? std::optional(scored_sum_ / n_tokens) : std::nullopt;
}

std::optional<double> PhaseFigures::padding_share() const {
  return n_shares_ > 0 ? std::optional(padding_sum_ / static_cast<double>(n_shares_)) : std::nullopt;
}

std::optional<double> PhaseFigures::last_mri(int64_t layer) const {
  const auto found = std::find(layers_.begin(), layers_.end(), layer);
  if (found == layers_.end() || recent_.empty()) return std::nullopt;
  return recent_.back()[static_cast<size_t>(found - layers_.begin()) + 1];
}

ShiftFigures PhaseFigures::shift(size_t column) const {
  ShiftFigures out;
  const auto peak = std::max_element(first_rows_.begin(), first_rows_.end(),
                                     [&](const Row& a, const Row& b) { return a[column] < b[column]; });
  out.first = first_rows_.front()[column];
  out.peak = (*peak)[column];
  out.peak_step = peak - first_rows_.begin() + 1;
  std::deque<Row> last;
  for (size_t i = 0; i < first_rows_.size() && !out.steps_to_recover; ++i) {
    keep_last(last, first_rows_[i], kRecoverySteps);
    if (static_cast<int64_t>(i) >= out.peak_step && has_recovered(last, column))
      out.steps_to_recover = static_cast<int64_t>(i) + 1;
  }
  if (!out.steps_to_recover) out.steps_to_recover = late_recovery_[column];
  out.after = mean_of(end_mri_, column);
  return out;
}

std::vector<double> PhaseFigures::dropped_at_end() const {
  std::vector<double> out(layers_.size(), 0.0);
  const auto n = static_cast<double>(end_dropped_.size());
  for (const auto& row : end_dropped_)
    for (size_t i = 0; i < out.size(); ++i) out[i] += row[i] / n;
  return out;
}

std::optional<double> PhaseFigures::mean_dropped() const {
  return n_dropped_ == 0 ? std::nullopt : std::optional(dropped_sum_ / static_cast<double>(n_dropped_));
}

}  // namespace evenkeel::train
