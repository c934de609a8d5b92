#include "train/step_line.h"

#include <cstdio>
#include <set>

#include "core/units.h"

namespace evenkeel::train {
namespace {

double worst_mri(const StepReport& report) {
  double worst = 0;
  for (const auto& counts : report.routing) worst = std::max(worst, analysis::routing_stats(counts).mri);
  return worst;
}

// Share of the assignments of all layers; 0 without a capacity.
double dropped_share(const StepReport& report) {
  double dropped = 0, assigned = 0;
  for (const auto& counts : report.routing) {
    dropped += static_cast<double>(counts.n_dropped);
    for (const int64_t n : counts.tokens_per_expert) assigned += static_cast<double>(n);
  }
  return assigned > 0 ? dropped / assigned : 0.0;
}

// "loss = 2.500 ce + 0.010 balance": each term times its coefficient, as it enters the sum. Empty for a cross-entropy
// alone.
std::string loss_sum(const StepReport& report) {
  std::string out;
  size_t n_terms = 0;
  for (size_t i = 0; i < report.terms.size(); ++i) {
    const auto& term = report.terms[i];
    if (term.coefficient == 0) continue;
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.3f ", term.coefficient * term.value);
    out += (n_terms++ == 0 ? "loss = " : " + ") + std::string(buffer) + (i == 0 ? "ce" : term.name);
  }
  return n_terms > 1 ? out : "";
}

}  // namespace

record::StepRow row_of(const StepLine& line) {
  record::StepRow row;
  row.step = line.state.step;
  row.phase = line.phase;
  row.phase_step = line.state.phase_step;
  row.tokens = line.state.tokens;
  row.loss = line.report.loss;
  for (const auto& term : line.report.terms) row.loss_terms.emplace_back(term.name, term.value);
  row.lr = line.report.learning_rate;
  row.grad_norm = line.report.grad_norm;
  row.seconds = line.seconds;
  row.tokens_per_second = line.tokens_per_second();
  row.gemm_fraction = line.gemm_fraction;
  row.sources.assign(line.sources.begin(), line.sources.end());
  row.objective = line.objective;
  row.scored_share = line.report.scored_share();
  row.padding_share = line.report.padding_share();
  for (const auto& counts : line.report.routing) row.routing.push_back(analysis::routing_stats(counts));
  row.alarms = line.alarms;
  return row;
}

void write_scalars(const StepLine& line, TensorBoardFile& tensorboard) {
  const int64_t step = line.state.step;
  tensorboard.scalar("train/loss", line.report.loss, step);
  for (const auto& term : line.report.terms) tensorboard.scalar("train/" + term.name, term.value, step);
  tensorboard.scalar("train/learning_rate", line.report.learning_rate, step);
  tensorboard.scalar("train/grad_norm", line.report.grad_norm, step);
  tensorboard.scalar("train/tokens_per_second", line.tokens_per_second(), step);
  if (line.report.scored_share() < 1) tensorboard.scalar("train/scored_share", line.report.scored_share(), step);
  if (line.report.n_padding > 0) tensorboard.scalar("train/padding_share", line.report.padding_share(), step);
  if (!line.report.routing.empty()) tensorboard.scalar("routing/worst_mri", worst_mri(line.report), step);
  for (const auto& counts : line.report.routing) {
    const auto stats = analysis::routing_stats(counts);
    const std::string at = "routing/layer_" + std::to_string(stats.layer) + "/";
    tensorboard.scalar(at + "mri", stats.mri, step);
    tensorboard.scalar(at + "entropy", stats.entropy, step);
    if (stats.dropped > 0) tensorboard.scalar(at + "dropped", stats.dropped, step);
  }
  std::set<int64_t> collapsed;
  for (const auto& alarm : line.alarms)
    if (alarm.is_collapse() && alarm.layer) collapsed.insert(*alarm.layer);
  for (const int64_t layer : collapsed)
    tensorboard.scalar("routing/layer_" + std::to_string(layer) + "/collapsed", 1, step);
}

std::string terminal_text(const StepLine& line) {
  const auto& report = line.report;
  std::string text = line.phase + " " + std::to_string(line.state.phase_step) + "/" + std::to_string(line.phase_steps);
  const auto add = [&](const char* pattern, auto... values) {
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, pattern, values...);
    text += buffer;
  };
  add("  loss %.3f", report.loss);
  if (!report.routing.empty()) add("  MRI %.2f", worst_mri(report));
  if (const double dropped = dropped_share(report); dropped > 0) add("  dropped %.1f%%", 100 * dropped);
  if (report.scored_share() < 1) add("  scored %.0f%%", 100 * report.scored_share());
  if (report.n_padding > 0) add("  padding %.1f%%", 100 * report.padding_share());
  if (const auto sum = loss_sum(report); !sum.empty()) text += "  (" + sum + ")";
  add("  lr %.2e", report.learning_rate);
  add("  |g| %.2f", report.grad_norm);
  text += "  " + human_count(line.tokens_per_second()) + " tok/s";
  add("  %.0f%% of matmul speed", 100 * line.gemm_fraction);
  return text;
}

}  // namespace evenkeel::train
