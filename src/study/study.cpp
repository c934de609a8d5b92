#include "study/study.h"

#include <set>

#include "checkpoint/manifest.h"
#include "core/file_io.h"
#include "core/log.h"
#include "model/layout.h"
#include "ops/device.h"
#include "study/shared_phases.h"
#include "study/tables.h"
#include "train/results.h"
#include "train/trainer.h"

namespace evenkeel::study {
namespace {

void log_flops(const StudyPlan& plan) {
  double least = 0, most = 0;
  for (const auto& arm : plan.arms) {
    const double flops = model::training_flops_per_token(arm.config.model, arm.config.train.sequence_length);
    least = least == 0 ? flops : std::min(least, flops);
    most = std::max(most, flops);
  }
  constexpr double kMatched = 1.05;
  const auto text = join_parts("training FLOPs a token: ", human_count(least), " to ", human_count(most), ", ", (most / least - 1) * 100, " % apart");
  if (most / least > kMatched) {
    log_warning(text, "; the arms are not FLOP-matched");
  } else {
    log_info(text, "; the arms are FLOP-matched");
  }
}

std::vector<train::Arm> read_arms(const StudyPlan& plan, const fs::path& out) {
  std::vector<train::Arm> arms;
  for (const auto& arm : plan.arms) arms.push_back(train::read_arm(arm.name, arm.group, out / "arms" / arm.name));
  return arms;
}

void write_results(const StudyPlan& plan, const fs::path& out) {
  const auto arms = read_arms(plan, out);
  const auto tables = study_tables(arms);
  Json results = Json::object(), arm_rows = Json::array(), headlines = Json::array();
  for (const auto& arm : arms) arm_rows.push_back(train::arm_json(arm, "arms/" + arm.name));
  for (const auto& headline : study_headlines(arms, tables)) headlines.push_back(headline);
  results["schema"] = "evenkeel.results.v1";
  results["kind"] = "study";
  results["title"] = plan.title.empty() ? fs::absolute(out).lexically_normal().filename().string() : plan.title;
  results["definitions"] = train::definitions_json();
  results["machine"] = Json::Object{{"threads", Json(ops::n_threads())}};
  results["recipe"] = read_file(out / "study.toml");
  results["headlines"] = std::move(headlines);
  results["arms"] = std::move(arm_rows);
  results["tables"] = train::tables_json(tables);
  make_folders(out / "csv");
  for (const auto& [name, table] : tables) write_file_atomically(out / "csv" / (name + ".csv"), to_csv(table));
  write_file_atomically(out / "results.json", results.dump(1) + "\n");
}

}  // namespace

void run_study(const StudyPlan& plan, const StudyOptions& options) {
  const fs::path arms_folder = options.out / "arms";
  log_info("study of ", plan.arms.size(), " arms");
  log_flops(plan);
  int64_t total_steps = 0, done_steps = 0;
  std::vector<bool> finished;
  for (const auto& arm : plan.arms) {
    finished.push_back(train::is_finished(arms_folder / arm.name, arm.config));
    if (!finished.back()) total_steps += arm.config.total_steps();
  }
  Progress progress("study", static_cast<double>(total_steps), "steps");
  for (size_t i = 0; i < plan.arms.size(); ++i) {
    const ArmPlan& arm = plan.arms[i];
    const fs::path run = arms_folder / arm.name;
    const std::string label = "arm " + std::to_string(i + 1) + "/" + std::to_string(plan.arms.size()) + " " + arm.name;
    const std::string giver = take_shared_phases(plan, i, arms_folder);
    if (!giver.empty()) log_info(label, ": takes the phases that it shares with ", giver);
    train::TrainOptions train;
    train.run = run;
    train.recipe_text = arm.text;
    train.device = options.device;
    train.resume = true;  // a new folder starts over, a finished one is left, a changed recipe is refused
    train.on_step = [&](int64_t step, int64_t, const std::string& text) { progress.update(static_cast<double>(done_steps + step), label + " " + text); };
    train::train_run(arm.config, train);
    if (!finished[i]) done_steps += arm.config.total_steps();
  }
  write_results(plan, options.out);
}

std::string study_summary(const fs::path& out) {
  const Json results = Json::parse(read_file(out / "results.json"), (out / "results.json").string());
  std::string text;
  for (const auto& headline : results.at("headlines").as_array()) text += "  " + headline.as_string() + "\n";
  return text;
}

}  // namespace evenkeel::study
