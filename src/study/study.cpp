#include "study/study.h"

#include <set>

#include "checkpoint/manifest.h"
#include "core/counted.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/output.h"
#include "core/with_error.h"
#include "model/layout.h"
#include "ops/device.h"
#include "study/comparison.h"
#include "study/jobs.h"
#include "study/shared_phases.h"
#include "study/speed.h"
#include "study/tables.h"
#include "train/inputs.h"
#include "train/machine.h"
#include "train/memory.h"
#include "train/memory_limit.h"
#include "train/recipe_changes.h"
#include "train/results.h"
#include "train/trainer.h"

namespace evenkeel::study {
namespace {

void log_flops(const StudyPlan& plan) {
  FlopMatch match;
  for (const auto& arm : plan.arms)
    match.add(model::training_flops_per_token(arm.config.model, arm.config.train.sequence_length));
  const auto text = join_parts("training FLOPs a token: ", human_count(match.least), " to ", human_count(match.most),
                               ", ", three_digits((match.most / match.least - 1) * 100), " % apart");
  if (match.holds()) {
    log_info(text, "; a token costs the same in all arms");
  } else {
    log_warning(text, "; the arms are not FLOP-matched");
  }
}

std::vector<train::Arm> read_arms(const StudyPlan& plan, const fs::path& out) {
  std::vector<train::Arm> arms;
  for (const auto& arm : plan.arms) arms.push_back(train::read_arm(arm.name, arm.group, out / "arms" / arm.name));
  return arms;
}

// The arm's entry, with what its own results.json says of how it ran.
Json arm_entry(const train::Arm& arm) {
  Json out = train::arm_json(arm, "arms/" + arm.name);
  out["replay_family"] = sha256_hex(recipe_without_replay(arm)).substr(0, 16);
  const auto path = arm.run / "results.json";
  const Json results = read_json(path);
  const Json& machine = with_path(path, results, [&]() -> const Json& { return results.at("machine"); });
  for (const char* key : {"threads", "runs_at_a_time", "peak_rss_bytes"})
    if (const Json* value = machine.find(key)) out[key] = *value;
  return out;
}

void write_results(const StudyPlan& plan, const fs::path& out, const Speeds& speeds, const Json& machine) {
  const auto arms = read_arms(plan, out);
  auto tables = study_tables(arms, speeds);
  tables.emplace_back("recipe_warnings", recipe_warnings(plan));
  Json results = Json::object(), arm_rows = Json::array(), headlines = Json::array();
  for (const auto& arm : arms) arm_rows.push_back(arm_entry(arm));
  for (const auto& headline : headlines_and_notes(arms, tables, speeds)) headlines.push_back(headline);
  results["schema"] = "evenkeel.results.v1";
  results["kind"] = "study";
  results["title"] = plan.title.empty() ? fs::absolute(out).lexically_normal().filename().string() : plan.title;
  results["definitions"] = train::definitions_json();
  results["machine"] = machine;
  results["recipe"] = read_file(out / "study.toml");
  results["headlines"] = std::move(headlines);
  results["comparison"] = comparison_json(arms);
  results["arms"] = std::move(arm_rows);
  results["tables"] = train::tables_json(tables);
  train::write_results(out, results);
}

}  // namespace

namespace {

// Looks at the machine and the device in a process of its own: once a process has touched a GPU, its children cannot.
Json look_at_machine(const std::string& device) {
  Json machine;
  const Job look{
      "device", {}, [&](const auto& report) { report(0, train::machine_json(ops::find_device(device)).dump()); }};
  run_jobs({look}, 1, [&](size_t, int64_t, const std::string& found) { machine = Json::parse(found, "machine"); });
  return machine;
}

// Arms side by side: as many as there are cores, while their memory fits; a GPU takes one at a time.
size_t n_parallel_arms(const StudyPlan& plan, const StudyOptions& options, const Json& machine) {
  if (options.n_jobs > 0) return static_cast<size_t>(options.n_jobs);
  if (machine.at("device").as_string() != "cpu") return 1;
  double largest = 1;
  for (const auto& arm : plan.arms) largest = std::max(largest, train::estimate_memory(arm.config).total());
  const double memory = train::available_memory().bytes;
  const auto that_fit = memory > 0 ? static_cast<int64_t>(memory / largest) : int64_t{1};
  return static_cast<size_t>(std::clamp<int64_t>(ops::n_threads(), 1, std::max<int64_t>(1, that_fit)));
}

}  // namespace

namespace {
// What can be done about a recipe that an arm was not begun with.
std::string change_offer(const fs::path& run) {
  return "another --out, or " + run.string() + " moved away, so that the arm is trained anew";
}
}  // namespace

void check_study(const StudyPlan& plan, const StudyOptions& options, train::InputData& data) {
  for (const auto& arm : plan.arms) data.trust(options.out / "arms" / arm.name);
  for (const auto& arm : plan.arms) {
    const fs::path run = options.out / "arms" / arm.name;
    train::require_same_recipe(run, arm.config, data, change_offer(run));
    if (!train::is_finished(run, arm.config)) data.open(arm.config);
  }
}

void run_study(const StudyPlan& plan, const StudyOptions& options, train::InputData& data) {
  const fs::path arms_folder = options.out / "arms";
  const Json machine = look_at_machine(options.device);
  const size_t n_parallel = std::min(n_parallel_arms(plan, options, machine), plan.arms.size());
  const int64_t n_threads = std::max<int64_t>(1, ops::n_threads() / static_cast<int64_t>(n_parallel));
  log_info("study of ", counted(static_cast<int64_t>(plan.arms.size()), "arm"), ", ", n_parallel, " at a time on ",
           counted(n_threads, "thread"), " each");
  log_flops(plan);
  std::set<std::string> warned;  // groups: their arms differ in the seed alone
  for (const auto& arm : plan.arms)
    if (!arm.warning.empty() && warned.insert(arm.group).second) log_warning("arm ", arm.group, ": ", arm.warning);

  std::vector<Job> jobs;
  std::vector<int64_t> steps(plan.arms.size(), 0);
  int64_t total_steps = 0, n_done = 0;
  for (size_t i = 0; i < plan.arms.size(); ++i) {
    const ArmPlan& arm = plan.arms[i];
    if (train::is_finished(arms_folder / arm.name, arm.config)) ++n_done;
    total_steps += arm.config.total_steps();
    std::vector<size_t> after;
    if (const auto giver = giver_of(plan, i)) after = {*giver};
    jobs.push_back(
        {arm.name, after, [&plan, &options, &data, i, n_threads, n_parallel, arms_folder](const auto& report) {
           ops::set_threads(n_threads);
           take_shared_phases(plan, i, arms_folder);
           train::TrainOptions train;
           train.run = arms_folder / plan.arms[i].name;
           train.recipe_text = plan.arms[i].text;
           train.device = options.device;
           train.change_offer = change_offer(train.run);
           train.data = &data;  // open and checked before the processes parted
           train.runs_at_a_time = static_cast<int64_t>(n_parallel);
           train.keep_steps = steps_for_takers(plan, i);
           train.resume = true;  // a new folder starts over, a finished one is left, a changed recipe is refused
           train.on_step = [&](int64_t step, int64_t, const std::string& text) { report(step, text); };
           try {
             train::train_run(plan.arms[i].config, train);
           } catch (const NumericsError& error) {  // it names a step or layer; other errors name the run
             fail<NumericsError>("arm ", plan.arms[i].name, ": ", error.what());
           }
           report(plan.arms[i].config.total_steps(), "finished");
         }});
  }
  if (n_done > 0)
    log_info(counted(static_cast<int64_t>(n_done), "arm"), n_done == 1 ? " is" : " are", " finished already");
  {
    Progress progress("study", static_cast<double>(total_steps), "steps");
    run_jobs(jobs, n_parallel, [&](size_t job, int64_t step, const std::string& text) {
      if (text == "finished") log_info("arm ", plan.arms[job].name, " finished");
      // Steps that were there before this call, or came from another arm, are not this call's speed.
      if (steps[job] == 0) progress.skip(static_cast<double>(step - 1));
      steps[job] = step;
      int64_t done = 0;
      for (const int64_t n : steps) done += n;
      progress.update(static_cast<double>(done), plan.arms[job].name + ": " + text);
    });
  }
  const auto speeds = measure_speeds(plan, options.out, options.device, machine);
  write_results(plan, options.out, speeds, machine);
}

}  // namespace evenkeel::study
