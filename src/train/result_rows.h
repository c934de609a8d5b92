// The rows of results.json's tables of a run (docs/formats.md).
#pragma once

#include <optional>
#include <string>

#include "core/columns.h"
#include "record/alarm.h"

namespace evenkeel::train {

// An entry of `phases` of an arm.
struct PhaseRow {
  std::string name;
  int64_t steps = 0, tokens = 0;  // of the steps that were made
  double seconds = 0;
  std::optional<double> replayed;  // share of the sequences; none where the steps do not say it, as the next two
  std::string objective;           // in words
  std::optional<double> scored_share, padding_share;
  std::optional<int64_t> first_step, last_step;  // none before the first
  static void visit_columns(auto& row, auto&& visit) {
    visit("name", row.name);
    visit("steps", row.steps);
    visit("tokens", row.tokens);
    visit("seconds", row.seconds);
    visit("replayed", row.replayed);
    visit("objective", row.objective);
    visit("scored_share", row.scored_share);
    visit("padding_share", row.padding_share);
    visit("first_step", row.first_step);
    visit("last_step", row.last_step);
  }
};

struct ForgettingRow {
  std::string arm, phase, data;
  double loss = 0;
  std::optional<double> perplexity, change, loss_se, change_se;
  std::optional<double> forgetting, forgetting_se;
  std::optional<std::string> against;  // of `forgetting`
  static void visit_columns(auto& row, auto&& visit) {
    visit("arm", row.arm);
    visit("phase", row.phase);
    visit("data", row.data);
    visit("loss", row.loss, "nats/token");
    visit("perplexity", row.perplexity);
    visit("change", row.change, "nats/token");
    visit("loss_se", row.loss_se, "nats/token");
    visit("change_se", row.change_se, "nats/token");
    visit("forgetting", row.forgetting, "nats/token");
    visit("forgetting_se", row.forgetting_se, "nats/token");
    visit("against", row.against);
  }
};

struct ShiftMriRow {
  std::string arm, phase;
  std::optional<int64_t> layer;  // none: the mean over layers
  double lower_bound = 0;
  std::optional<double> before;
  double first = 0, peak = 0;
  int64_t peak_step = 0;
  std::optional<int64_t> steps_to_recover;
  double after = 0;
  static void visit_columns(auto& row, auto&& visit) {
    visit("arm", row.arm);
    visit("phase", row.phase);
    visit("layer", row.layer);
    visit("lower_bound", row.lower_bound);
    visit("before", row.before);
    visit("first", row.first);
    visit("peak", row.peak);
    visit("peak_step", row.peak_step, "steps");
    visit("steps_to_recover", row.steps_to_recover, "steps");
    visit("after", row.after);
  }
};

struct EvalMriRow {
  std::string arm, phase, data;
  int64_t layer = 0;
  double mri = 0, entropy = 0;
  int64_t dead = 0;
  std::optional<double> mri_se = {};
  static void visit_columns(auto& row, auto&& visit) {
    visit("arm", row.arm);
    visit("phase", row.phase);
    visit("data", row.data);
    visit("layer", row.layer);
    visit("mri", row.mri);
    visit("entropy", row.entropy);
    visit("dead", row.dead, "experts");
    visit("mri_se", row.mri_se);
  }
};

struct SaturationTableRow {
  std::string arm;
  int64_t layer = 0, k = 0, from = 0, to = 0;
  std::string data;
  double saturation = 0, chance = 0;
  std::optional<std::string> from_run;  // that step `from` is of, where it is not the arm's own
  static void visit_columns(auto& row, auto&& visit) {
    visit("arm", row.arm);
    visit("layer", row.layer);
    visit("k", row.k);
    visit("from", row.from, "step");
    visit("to", row.to, "step");
    visit("data", row.data);
    visit("saturation", row.saturation);
    visit("chance", row.chance);
    visit("from_run", row.from_run);
  }
};

struct DropsRow {
  std::string arm, phase;
  std::optional<std::string> data;  // none: training
  std::optional<int64_t> layer;     // none: the mean over layers
  double dropped = 0;
  static void visit_columns(auto& row, auto&& visit) {
    visit("arm", row.arm);
    visit("phase", row.phase);
    visit("data", row.data);
    visit("layer", row.layer);
    visit("dropped", row.dropped, "share of assignments");
  }
};

struct WarningRow {
  std::string arm, phase;
  int64_t step = 0;
  std::optional<int64_t> layer;
  record::Alarm::Kind kind = record::Alarm::Kind::one_expert;
  std::string what;
  std::optional<bool> recovered = {};       // none: what is no collapse
  int64_t n_arms = 1;                       // that share the phase
  std::optional<std::string> data = {};     // the held-out set that shows it; none: training
  std::optional<int64_t> n_recovered = {};  // of n_arms; none: what is no collapse
  static void visit_columns(auto& row, auto&& visit) {
    visit("arm", row.arm);
    visit("phase", row.phase);
    visit("step", row.step, "step");
    visit("layer", row.layer);
    visit("kind", row.kind);
    visit("what", row.what);
    visit("recovered", row.recovered);
    visit("n_arms", row.n_arms, "arms");
    visit("data", row.data);
    visit("n_recovered", row.n_recovered, "arms");
  }
};

}  // namespace evenkeel::train
