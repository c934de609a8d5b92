#include "train/run_sinks.h"

#include "core/with_error.h"
#include "model/layout.h"
#include "train/loss_error.h"

namespace evenkeel::train {

RunSinks::RunSinks(const RunSetting& setting, MetricsFile& metrics, int64_t first_step, double gemm_rate)
    : setting_(setting),
      metrics_(metrics),
      first_step_(first_step),
      gemm_rate_(gemm_rate),
      flops_per_token_(model::training_flops_per_token(setting.config.model, setting.config.train.sequence_length)) {
  const TrainOptions& options = setting.options;
  if (options.tensorboard) tensorboard_ = std::make_unique<TensorBoardFile>(options.run / "tensorboard", first_step);
  if (!options.on_step) progress_ = std::make_unique<Progress>("training", static_cast<double>(setting.n_steps() - first_step), "steps");
}

void RunSinks::begin_phase(const std::string& name) const {
  if (progress_ == nullptr) log_info("phase ", name);
}

void RunSinks::write(const TrainState& state, const StepOutcome& step) {
  const double flops_per_second = static_cast<double>(step.report.n_tokens) / step.seconds * flops_per_token_;
  const StepLine line{state, setting_.phase(state).name, setting_.phase_length(state), step.report, step.sources, step.seconds, flops_per_second / gemm_rate_, step.alarms};
  metrics_.write(to_json(line));
  if (tensorboard_ != nullptr) write_scalars(line, *tensorboard_);
  if (progress_ == nullptr) {
    setting_.options.on_step(line.state.step, setting_.n_steps(), terminal_text(line));
  } else {
    progress_->update(static_cast<double>(line.state.step - first_step_), terminal_text(line));
  }
}

void RunSinks::write_evaluation(const Json& line) {
  metrics_.write(line);
  const int64_t step = line.at("step").as_int();
  std::string summary;
  for (const auto& [name, result] : line.at("eval").as_object()) {
    const LossFigure loss = loss_figure(result);
    summary += " " + name + " " + with_error(loss.value, loss.se);
    if (tensorboard_ != nullptr) tensorboard_->scalar("eval/" + name + "/loss", loss.value, step);
  }
  if (progress_ != nullptr) log_info("step ", step, " (", line.at("phase").as_string(), ") held-out loss:", summary);
}

void RunSinks::end() { progress_.reset(); }

}  // namespace evenkeel::train
