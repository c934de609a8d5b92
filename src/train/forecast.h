// What a run will take: time, passes over its data, disk. Nothing of it is spent, but for some steps that are timed.
#pragma once

#include <string>
#include <vector>

#include "core/json.h"
#include "train/config.h"

namespace evenkeel::train {

// How fast training goes, and how we know.
struct StepRate {
  std::string source;       // "measured"; "stated" by the user; "bound": no run is faster than its matrix products
  std::string note;         // in words: what was measured, or why nothing was
  double step_seconds = 0;  // one optimizer step
  double forward_seconds_per_token = 0;
  double evaluation_seconds = 0;  // of one evaluation of one set, besides its tokens; 0 where it was not measured
};
// Times a few steps of this recipe here, 10 seconds or so in all; fewer sequences where a step takes long. Nothing is
// trained, only a bound is given, where the model does not fit into memory, where a step of a single sequence takes
// long, or with `may_measure` false.
StepRate measure_rate(const RunConfig& config, const std::string& device, bool may_measure = true);
// Where training reaches this many FLOP/s.
StepRate stated_rate(const RunConfig& config, double flops_per_second);

// A source of a phase, and how often the run has seen it by the phase's end.
struct SourceUse {
  std::string name, path;   // as in metrics: "en", "replay/en"
  std::string objective;    // its kind
  double tokens = 0;        // fed in the phase, padding among them
  double data_tokens = 0;   // of text in one pass; 0 where the data are not there yet, as the next ones
  double text_tokens = 0;   // of text in what is fed in the phase
  double epoch_tokens = 0;  // fed by one pass: more than the text where an objective adds to it or leaves padding
  double epochs = 0;        // passes in this phase
  double epochs_so_far = 0;
  bool is_estimate = false;         // text_tokens, epoch_tokens and epochs: how much text a sequence takes is drawn
  bool repeats_on_purpose = false;  // a replay of what was seen
};

struct PhaseForecast {
  std::string name;
  int64_t steps = 0, checkpoints = 0;
  double tokens = 0;  // trained
  // Scored, in all evaluations, or fed where a set has an objective of its own; sets that are not there yet are left
  // out.
  double evaluation_tokens = 0;
  double training_seconds = 0, evaluation_seconds = 0, checkpoint_seconds = 0;
  std::vector<SourceUse> sources;
  double seconds() const { return training_seconds + evaluation_seconds + checkpoint_seconds; }
};

struct Forecast {
  std::vector<PhaseForecast> phases;
  double checkpoint_bytes = 0;  // of one
  int64_t checkpoints = 0;      // that stay; never more at once, since train.keep_last removes one for each that comes
  double seconds() const;
  std::vector<std::string> missing;  // paths of data sets that are not there yet, each once
  // A line for each source that is repeated, by a step of a phase or more: phases are rounded up to whole steps.
  std::vector<std::string> warnings() const;
};
// DataError for data that are there and damaged.
Forecast forecast(const RunConfig& config, const StepRate& rate);

// "time", "disk", "phases", "warnings" of `plan --json`.
Json time_json(const RunConfig& config, const StepRate& rate, const Forecast& run);
Json disk_json(const Forecast& run);
Json phases_json(const Forecast& run);

}  // namespace evenkeel::train
