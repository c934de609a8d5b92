#include "train/run_sinks.h"

#include "core/with_error.h"
#include "model/layout.h"
#include "train/objective_words.h"

namespace evenkeel::train {

RunSinks::RunSinks(const RunSetting& setting, record::MetricsFile& metrics, int64_t first_step, double gemm_rate)
    : setting_(setting),
      metrics_(metrics),
      first_step_(first_step),
      gemm_rate_(gemm_rate),
      flops_per_token_(model::training_flops_per_token(setting.config.model, setting.config.train.sequence_length)) {
  const Json resolved = run_config_json(setting.config);
  for (size_t i = 0; i < setting.config.phases.size(); ++i)
    objectives_.push_back(objective_words(resolved.at("phase"), i));
  const TrainOptions& options = setting.options;
  if (options.tensorboard) tensorboard_ = std::make_unique<TensorBoardFile>(options.run / "tensorboard", first_step);
  if (!options.on_step)
    progress_ = std::make_unique<Progress>("training", static_cast<double>(setting.n_steps() - first_step), "steps");
}

void RunSinks::begin_phase(const std::string& name) const {
  if (progress_ == nullptr) log_info("phase ", name);
}

void RunSinks::write(const TrainState& state, const StepOutcome& step) {
  const double flops_per_second = static_cast<double>(step.report.n_tokens) / step.seconds * flops_per_token_;
  const StepLine line{state,
                      setting_.phase(state).name,
                      setting_.phase_length(state),
                      step.report,
                      step.sources,
                      step.seconds,
                      flops_per_second / gemm_rate_,
                      step.alarms,
                      objectives_[static_cast<size_t>(state.phase_index)]};
  metrics_.write(row_of(line));
  if (tensorboard_ != nullptr) write_scalars(line, *tensorboard_);
  if (progress_ == nullptr) {
    setting_.options.on_step(line.state.step, setting_.n_steps(), terminal_text(line));
  } else {
    progress_->update(static_cast<double>(line.state.step - first_step_), terminal_text(line));
  }
}

void RunSinks::write(const record::EvaluationRow& evaluation) {
  metrics_.write(evaluation);
  std::string summary;
  for (const auto& [name, result] : evaluation.eval) {
    summary += " " + name + " " + with_error(result.loss, result.loss_se);
    if (result.objective) summary += " (" + *result.objective + ")";
    if (tensorboard_ != nullptr) tensorboard_->scalar("eval/" + name + "/loss", result.loss, evaluation.step);
  }
  if (progress_ != nullptr) log_info("step ", evaluation.step, " (", evaluation.phase, ") held-out loss:", summary);
}

void RunSinks::end() { progress_.reset(); }

}  // namespace evenkeel::train
