#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "checkpoint/families.h"
#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "checkpoint/router_states.h"
#include "core/error_report.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/output.h"
#include "core/with_error.h"
#include "model/layout.h"
#include "ops/device.h"
#include "train/diagnose.h"
#include "train/held_out.h"
#include "train/inputs.h"
#include "train/machine.h"
#include "train/interrupt.h"
#include "train/memory.h"
#include "train/memory_limit.h"
#include "train/metrics.h"
#include "train/phase.h"
#include "train/recipe_changes.h"
#include "train/results.h"
#include "train/resume.h"
#include "train/run_lock.h"
#include "train/step.h"
#include "train/step_line.h"
#include "train/token_counts.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// The state of one call of train_run.
class Run {
 public:
  Run(const RunConfig& config, const TrainOptions& options)
      : config_(config), options_(options), device_(ops::find_device(options.device)), model_(config.model), begin_(Clock::now()), data_(options.data != nullptr ? *options.data : own_data_) {}

  TrainOutcome go() {
    // 1. What must be right before anything is written: the folder, the data, where phases start, the memory, the place to go on from.
    check_folder();
    if (is_done()) {
      log_info(options_.run.string(), " is finished; nothing to do");
      return TrainOutcome::finished;
    }
    if (options_.resume && !options_.allow_change) require_same_recipe(options_.run, config_, data_);
    if (options_.resume) data_.trust(options_.run);
    data_.open(config_);
    first_steps_ = phase_first_steps(config_);
    starts_ = check_starts(config_, data_);
    pin_starts();
    require_memory(estimate_memory(config_).total(), "model");
    save_on_signal();
    make_folders(options_.run / "checkpoints");
    const RunLock lock(options_.run);
    remove_leftovers();
    load_or_start();

    // 2. The run.
    log_plan();
    gemm_rate_ = ops::gemm_rate(device_, {512, 1024});
    log_info("matrix products reach ", std::llround(gemm_rate_ / 1e9), " GFLOP/s here; a step's line says which share of that its FLOPs come to (% of matmul speed)");
    if (options_.tensorboard) tensorboard_ = std::make_unique<TensorBoardFile>(options_.run / "tensorboard", state_.step);
    if (!options_.on_step) progress_ = std::make_unique<Progress>("training", static_cast<double>(n_steps() - state_.step), "steps");
    started_at_ = state_.step;
    catch_up();
    while (state_.step < n_steps()) {
      if (state_.phase_step == 0 || loader_ == nullptr) begin_phase();
      if (state_.step == 0) evaluate_baseline();
      step();
      const bool phase_ends = state_.phase_step == phase_length();
      after_step(phase_ends);
      if (phase_ends) end_phase();
      if (out_of_time()) return TrainOutcome::out_of_time;
    }
    progress_.reset();
    write_file_atomically(options_.run / "results.json", run_results(options_.run, machine()).dump(1) + "\n");
    log_info("finished: ", state_.step, " steps, ", human_count(static_cast<double>(state_.tokens)), " tokens in ", human_seconds(seconds_since(begin_)), ", ", options_.run.string());
    return TrainOutcome::finished;
  }

 private:
  size_t phase_index() const { return static_cast<size_t>(state_.phase_index); }
  const PhaseConfig& phase() const { return config_.phases[phase_index()]; }
  int64_t n_steps() const { return first_steps_.back() - 1; }
  int64_t phase_length() const { return first_steps_[phase_index() + 1] - first_steps_[phase_index()]; }

  void check_folder() {
    const fs::path& run = options_.run;
    const bool is_used = fs::exists(run) && (!fs::is_directory(run) || fs::directory_iterator(run) != fs::directory_iterator());
    require<ConfigError>(!is_used || fs::is_directory(run), run.string(), ": got a file; need a folder to write the run to");
    require<ConfigError>(!is_used || options_.resume, run.string(), ": got a folder that is not empty; need an empty or new one, or --resume");
    require_own_outputs(run_outputs(run, options_.recipe_text));
    for (const auto& file : checkpoint::files_named_like_steps(run)) fail<ConfigError>(file.string(), ": got a file where a checkpoint is to be written; need it moved away, or another --out");
  }

  Json machine() const {
    Json out = machine_json(device_);
    out["runs_at_a_time"] = options_.runs_at_a_time;
    out["gemm_gflops"] = gemm_rate_ / 1e9;
    out["peak_rss_bytes"] = peak_rss_bytes();
    return out;
  }

  bool is_done() { return options_.resume && is_finished(options_.run, config_) && had_recipe(options_.run, config_, data_); }

  // Temporary files of a writer that was killed; the lock says that there is no other.
  void remove_leftovers() const {
    checkpoint::remove_leftovers(options_.run / "checkpoints");
    remove_temporaries_in(options_.run);
  }

  // What differs between the run's recipe or contents and those of now; ConfigError where that is not allowed.
  std::vector<std::string> allowed_changes() {
    if (!options_.allow_change) {
      require_same_contents(options_.run, config_, data_);
      return {};
    }
    auto changes = changes_since(options_.run, config_, data_);
    for (auto& change : changed_contents(options_.run, config_, data_)) changes.push_back(std::move(change));
    return changes;
  }

  // The last good checkpoint or a first state; then, when nothing can be refused any more, the recipe.
  void load_or_start() {
    const fs::path& run = options_.run;
    const auto changes = allowed_changes();
    auto resume = options_.resume ? find_resume(config_, {run, device_, changes}, starts_, data_) : std::nullopt;
    state_ = resume ? std::move(resume->state) : initial_state(config_, model_, device_, token_counts());
    require_own_starts();
    const Json contents = run_contents(config_, data_, starts_, run), changed = recorded_changes(run, changes, state_.step);
    metrics_ = std::make_unique<MetricsFile>(run / "metrics.jsonl", state_.step);

    copy_log_to((run / "log.txt").string());
    if (!changes.empty()) log_warning("the recipe changed: ", joined(changes));
    if (resume)
      for (const auto& [folder, reason] : resume->damaged) checkpoint::put_aside(folder, reason);
    fs::remove(run / "results.json");                                                 // of a recipe that was shorter: the run is not finished until it has its own
    const bool is_new_recipe = !changes.empty() || !fs::exists(run / "recipe.toml");  // one of the same values stays, with whatever its owner noted in it
    if (is_new_recipe && !has_content(run / "recipe.toml", options_.recipe_text)) write_file_atomically(run / "recipe.toml", options_.recipe_text);
    Json resolved = run_config_json(config_);
    resolved["contents"] = contents;
    if (changed.size() > 0) resolved["changed"] = changed;
    write_file_atomically(run / "resolved.json", resolved.dump(1) + "\n");
    if (resume) log_info("resumed at step ", state_.step, " of ", n_steps());
  }

  // An evaluation that was due at the step of the checkpoint may not have been made before the run was stopped.
  void catch_up() {
    if (state_.step == 0) return;
    const bool phase_ends = state_.phase_step == phase_length();
    if (is_evaluation_due(phase_ends)) evaluate_all(phase_ends);
    if (phase_ends && state_.step < n_steps()) advance_phase();
  }

  // Of the first phase's data, for a router that asks for them.
  at::Tensor token_counts() {
    const auto* router = model_.router();
    if (router == nullptr || !router->traits().needs_token_counts) return {};
    return count_tokens(config_.phases[0].data, config_.model.vocab_size, data_.datasets());
  }

  // A phase to come that starts from a step which this run has passed needs its checkpoint.
  void require_own_starts() const {
    const auto saved = checkpoint::saved_steps(options_.run);
    for (size_t i = phase_index() + (state_.phase_step > 0 ? 1 : 0); i < starts_.size(); ++i) {
      const PhaseStart& start = starts_[i];
      if (!start.folder.empty() || start.step == 0 || start.step > state_.step || std::count(saved.begin(), saved.end(), start.step) > 0) continue;
      std::string steps;
      for (const int64_t step : saved) steps += (steps.empty() ? "" : ", ") + std::to_string(step);
      fail<ConfigError>(config_.phases[i].start->where, ": got a start from step ", start.step, ", which the run has passed and not saved; need one of its checkpoints (", steps, "), or a step to come");
    }
  }

  void advance_phase() {
    ++state_.phase_index;
    state_.phase_step = 0;
  }

  void log_plan() {
    const auto counts = model::count_parameters(config_.model);
    log_info("model: ", human_count(static_cast<double>(counts.total)), " parameters, ", human_count(static_cast<double>(counts.active)), " active a token; ",
             human_count(model::training_flops_per_token(config_.model, config_.train.sequence_length)), "FLOP a token; device ", ops::device_name(device_), ", ", ops::n_threads(), " threads");
    for (const auto& phase : config_.phases) {
      const int64_t steps = phase.total_steps(config_.train);
      const auto schedule = phase_schedule(config_, phase);
      log_info("phase ", phase.name, ": ", steps, " steps, ", human_count(static_cast<double>(steps * config_.tokens_per_step())), " tokens, lr ", schedule->rate(1), " ", optim::sparkline(*schedule, steps), " ", schedule->rate(steps));
    }
  }

  void begin_phase() {
    const auto& phase = config_.phases[phase_index()];
    if (state_.phase_step == 0) {
      const PhaseStart& start = starts_[phase_index()];
      if (!start.folder.empty() || start.step != state_.step) load_start(start);
      if (start.resets_optimizer) state_.adam = optim::initial_adam_state(state_.params);
      state_.loader.mixture.clear();
      state_.loader.replay_draws = 0;
      PhaseRecord record;
      record.name = phase.name;
      record.start_step = start.step;
      record.first_step = state_.step + 1;
      record.shuffle = phase.shuffle;
      record.drawn.seed = state_.seed;
      record.drawn.start_cursors = state_.loader.cursors;
      record.drawn.replay_fraction = phase.replay ? phase.replay->fraction : 0;
      record.drawn.replay_seen = phase.replay && phase.replay->mode == "seen";
      record_sources(phase, data_, record);
      state_.records.push_back(std::move(record));
      if (progress_ == nullptr) log_info("phase ", phase.name);
    }
    schedule_ = phase_schedule(config_, phase);
    factors_ = phase.rate_factors(config_.model);
    for (const auto& [name, param] : state_.params) {
      const auto factor = factors_.find(name);
      param.set_requires_grad(factor == factors_.end() || factor->second != 0);
    }
    loader_ = std::make_unique<data::Loader>(loader_options(config_), phase_draws(config_, phase, state_.records), state_.loader, data_.datasets());
    state_.records.back().drawn.replay = loader_->replay();
    checks_first_step_ = state_.phase_step == 0;
    alarmed_ = checks_first_step_ ? std::set<Alarm>{} : alarms_of_phase(read_metrics(options_.run / "metrics.jsonl"), phase.name);
  }

  // Parameters, moments, router states and cursors of another checkpoint; the run's own counters go on.
  void load_start(const PhaseStart& start) {
    const fs::path folder = folder_of_step(options_.run, start, start.step);
    state_.params = {};  // the old model goes before the new one comes
    state_.adam = {};
    TrainState other;
    if (start.step == 0 && start.folder.empty()) {
      other = initial_state(config_, model_, device_, token_counts());
    } else if (checkpoint::is_hf_folder(folder)) {
      RunConfig from_hf = config_;
      from_hf.model_from = RecipePath{folder.string(), ""};
      other = initial_state(from_hf, model_, device_, token_counts());
    } else {
      other = load_checkpoint(folder, config_, model_, device_);
    }
    state_.params = std::move(other.params);
    state_.adam = std::move(other.adam);
    state_.router_states = std::move(other.router_states);
    state_.loader = std::move(other.loader);
    if (start.folder.empty()) {  // what the model has seen of its phases is what they had drawn by then
      for (const auto& then : other.records)
        for (auto& record : state_.records)
          if (record.name == then.name && record.first_step == then.first_step) record.drawn = then.drawn;
      return;
    }
    // The other run's phases come before this run's own, one for each phase that began: a replay takes the last of a name.
    state_.records.insert(state_.records.end() - state_.phase_index, other.records.begin(), other.records.end());
  }

  std::vector<data::Batch> next_batches() {
    std::vector<data::Batch> batches;
    for (int64_t done = 0; done < config_.train.batch_size; done += config_.train.micro_batch_size) {
      auto batch = loader_->next(config_.train.micro_batch_size);
      batch.tokens = batch.tokens.to(device_);
      batch.targets = batch.targets.to(device_);
      if (batch.document_ids.defined()) batch.document_ids = batch.document_ids.to(device_);
      batches.push_back(std::move(batch));
    }
    state_.loader = loader_->state();
    for (const auto& batch : batches)
      for (const auto& [name, count] : batch.sources)
        if (name.rfind("replay/", 0) != 0) state_.records.back().drawn.draws += count;  // a later replay repeats the phase's own data
    return batches;
  }

  void step() {
    auto begin = Clock::now();
    const auto batches = next_batches();
    alarms_.clear();
    if (checks_first_step_) {
      const auto before = Clock::now();
      checks_first_step_ = false;
      add_alarms(diagnose(model_, factors_, batches[0], state_));
      begin += Clock::now() - before;  // no part of the step
    }
    report_ = train_step(model_, config_.optimizer, factors_, batches, schedule_->rate(state_.phase_step + 1), state_);
    last_batch_ = batches[0];
    step_seconds_ = seconds_since(begin);
    sources_.clear();
    for (const auto& batch : batches)
      for (const auto& [name, count] : batch.sources) sources_[name] += count;
  }

  // Warns of what this phase has not had yet, and keeps it for the step's line.
  void add_alarms(const std::vector<Alarm>& found, const std::string& when = "") {
    std::vector<Alarm> fresh;
    for (const auto& alarm : found)
      if (alarmed_.insert(alarm).second) fresh.push_back(alarm);
    for (const auto& sentence : alarm_sentences(fresh)) log_warning(when, sentence);
    alarms_.insert(alarms_.end(), fresh.begin(), fresh.end());
  }

  // With on_collapse = "abort" a collapse is the end of the run, which can go on from here.
  void require_no_collapse() {
    const auto collapse = std::find_if(alarms_.begin(), alarms_.end(), [](const Alarm& alarm) { return alarm.is_collapse(); });
    if (collapse == alarms_.end() || config_.train.on_collapse != "abort") return;
    if (saved_step_ != state_.step) save();
    progress_.reset();
    fail<NumericsError>("step ", state_.step, ": got ", alarm_sentences({*collapse})[0], "; need no collapse (train.on_collapse = \"abort\"; the step is saved)");
  }

  bool is_due(const Duration& every) const {
    const int64_t period = config_.period_steps(every);
    return period > 0 && state_.phase_step % period == 0;
  }

  bool is_evaluation_due(bool phase_ends) const { return phase().eval && (phase_ends || is_due(phase().eval->every)); }

  // The order matters for resume: the line of a step is on disk before the checkpoint of that step, and the checkpoint before an evaluation,
  // which may fail. A resume from there makes up for an evaluation that is missing.
  void after_step(bool phase_ends) {
    const std::string when = "step " + std::to_string(state_.step) + ": ";
    add_alarms(find_collapse(report_.routing), when);
    if (is_evaluation_due(phase_ends)) add_alarms(find_shrunk_scores(model_, last_batch_, state_), when);
    write_step_line();
    const bool stops = stop_requested();
    const bool is_pinned = pinned_steps_.contains(state_.step);
    if (phase_ends || is_pinned || stops || is_due(config_.train.checkpoint_every)) save();
    if (stops && (state_.step < n_steps() || is_evaluation_due(phase_ends))) {
      progress_.reset();
      fail<Interrupted>("stopped by a signal: saved step ", state_.step, " of ", n_steps(), " in ", options_.run.string(), "; --resume goes on");
    }
    require_no_collapse();
    if (is_evaluation_due(phase_ends)) evaluate_all(phase_ends);
  }

  void write_step_line() {
    const StepLine line{state_, phase().name, phase_length(), report_, sources_, step_seconds_, step_gemm_fraction(), alarms_};
    metrics_->write(to_json(line));
    if (tensorboard_ != nullptr) write_scalars(line, *tensorboard_);
    if (options_.on_step) {
      options_.on_step(state_.step, n_steps(), terminal_text(line));
    } else {
      progress_->update(static_cast<double>(state_.step - started_at_), terminal_text(line));
    }
  }

  double step_gemm_fraction() const {
    return static_cast<double>(report_.n_tokens) / step_seconds_ * model::training_flops_per_token(config_.model, config_.train.sequence_length) / gemm_rate_;
  }

  // What the metrics have of this step already is not made again.
  void evaluate_all(bool phase_ends) {
    if (!metrics_->has("eval")) write_evaluation();
    if (phase_ends && !metrics_->has("saturation")) write_saturation();
  }

  // Where the weights come from elsewhere, what they can is measured before they change: forgetting counts from there.
  void evaluate_baseline() {
    const bool from_elsewhere = config_.model_from || !starts_[0].folder.empty();
    if (from_elsewhere && phase().eval && !metrics_->has("eval")) write_evaluation();
  }

  HeldOut held_out() const { return {config_, phase(), model_, state_, data_}; }

  void write_evaluation() {
    const Json line = evaluation_line(held_out());
    metrics_->write(line);
    std::string summary;
    for (const auto& [name, result] : line.at("eval").as_object()) {
      const LossFigure loss = loss_figure(result);
      summary += " " + name + " " + with_error(loss.value, loss.se);
      if (tensorboard_ != nullptr) tensorboard_->scalar("eval/" + name + "/loss", loss.value, state_.step);
    }
    if (!options_.on_step) log_info("step ", state_.step, " (", phase().name, ") held-out loss:", summary);
  }

  // What the phase began with, for saturation; nullptr when that is initialisation, or gone.
  std::unique_ptr<TrainState> state_at_start() {
    const PhaseStart& start = starts_[phase_index()];
    const int64_t from = state_.records.back().start_step;
    auto out = std::make_unique<TrainState>();
    if (start.folder.empty() && from == 0) {
      if (!config_.model_from) return nullptr;
      *out = initial_state(config_, model_, device_, token_counts());
    } else {
      const fs::path folder = folder_of_step(options_.run, start, from);
      if (!fs::is_directory(folder)) {
        log_warning("no saturation of phase ", phase().name, ": ", folder.string(), ", which it started from, is gone");
        return nullptr;
      }
      const auto source = checkpoint::open_model(folder, std::nullopt, /*deep=*/false);
      out->params = checkpoint::load_params(source);
      out->router_states = source.kind == "checkpoint" ? checkpoint::load_router_states(source, model_) : model_.initial_router_states(state_.seed, token_counts());
    }
    set_device(out->params, device_, /*requires_grad=*/false);
    for (auto& router_state : out->router_states) set_device(router_state, device_, false);
    return out;
  }

  void write_saturation() {
    const auto start = config_.model.is_moe() ? state_at_start() : nullptr;
    if (start != nullptr) metrics_->write(saturation_line(held_out(), *start));
  }

  // Steps of this run that other phases, or other runs, start from.
  void pin_starts() {
    pinned_steps_ = options_.keep_steps;
    for (const auto& start : starts_)
      if (start.folder.empty()) pinned_steps_.insert(start.step);
  }

  void save() {
    metrics_->sync();
    save_checkpoint(options_.run, state_, config_);
    saved_step_ = state_.step;
    if (config_.train.keep_last == 0) return;
    auto kept = pinned_steps_;
    for (size_t i = 1; i < first_steps_.size(); ++i) kept.insert(first_steps_[i] - 1);
    const auto steps = checkpoint::saved_steps(options_.run);
    int64_t n_later = 0;
    for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
      if (kept.contains(*step) || n_later++ < config_.train.keep_last) continue;
      const fs::path folder = options_.run / "checkpoints" / checkpoint::step_folder_name(*step);
      if (is_own({folder, OutputKind::checkpoint})) checkpoint::remove_folder(folder);  // one with files of others stays
    }
  }

  void end_phase() {
    loader_.reset();
    if (state_.step < n_steps()) advance_phase();
  }

  bool out_of_time() {
    if (options_.max_hours <= 0 || state_.step >= n_steps() || seconds_since(begin_) < options_.max_hours * 3600) return false;
    if (saved_step_ != state_.step) save();
    progress_.reset();
    log_info("out of time after ", options_.max_hours, " hours: saved step ", state_.step, " of ", n_steps());
    return true;
  }

  const RunConfig& config_;
  const TrainOptions& options_;
  at::Device device_;
  model::Transformer model_;
  std::vector<int64_t> first_steps_;
  std::vector<PhaseStart> starts_;  // of each phase, looked up once: a run that one starts from may go on or go
  std::set<int64_t> pinned_steps_;  // of this run, that phases start from
  Clock::time_point begin_;
  InputData own_data_;
  InputData& data_;
  TrainState state_;
  std::unique_ptr<data::Loader> loader_;
  std::unique_ptr<optim::Schedule> schedule_;
  optim::RateFactors factors_;
  std::unique_ptr<MetricsFile> metrics_;
  std::unique_ptr<TensorBoardFile> tensorboard_;
  std::unique_ptr<Progress> progress_;
  StepReport report_;
  std::map<std::string, int64_t> sources_;
  double step_seconds_ = 0, gemm_rate_ = 0;
  int64_t started_at_ = 0, saved_step_ = 0;
  bool checks_first_step_ = false;
  data::Batch last_batch_;     // the first micro-batch of the last step
  std::vector<Alarm> alarms_;  // new at this step
  std::set<Alarm> alarmed_;    // of this phase so far
};

}  // namespace

TrainOutcome train_run(const RunConfig& config, const TrainOptions& options) {
  struct StopCopy {
    ~StopCopy() { copy_log_to(""); }
  } stop_copy;
  hold_copy();
  try {
    return Run(config, options).go();
  } catch (const std::exception& error) {
    copy_line(describe_error(error).line());
    throw;
  }
}

bool is_finished(const fs::path& run, const RunConfig& config) {
  const auto steps = checkpoint::saved_steps(run);
  if (steps.empty() || steps.back() < config.total_steps()) return false;
  try {
    const fs::path results = run / "results.json";
    return read_json(results).find("tables") != nullptr;
  } catch (const DataError&) {
    return false;  // none, or damaged: it is made again from what the run has
  }
}

}  // namespace evenkeel::train
