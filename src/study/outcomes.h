// What each arm of a study came to in its last phase, out of the study's tables.
#pragma once

#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "train/loss_error.h"
#include "train/results.h"

namespace evenkeel::study {

// Figures of an arm's last phase; NaN where there is none. Old and new data: shift_sets of train/shift_sets.h. Shares
// are of tokens.
struct Outcome {
  int64_t seed = 0;
  std::optional<train::LossFigure> forgetting = {}, loss_new = {};  // nats a token
  std::string against = {};  // what forgetting is measured against: a phase, or "step 0"
  double mri_before = NAN, mri_first = NAN, mri_peak = NAN,
         mri_end = NAN;    // of training batches around the phase's start, mean over layers
  int64_t peak_steps = 0;  // in which mri_peak was sought
  std::optional<train::LossFigure> eval_mri = {}, eval_mri_old = {};  // on held-out new and old data, mean over layers
  double even_load = NAN;                                             // k / E: no MRI is below it
  double experts_in_use = NAN, experts = NAN;                         // of all layers, on held-out new data
  double tokens_to_loss = NAN, target_loss = NAN;                     // of the table tokens_to_loss
  double tokens_interval = NAN;  // between the evaluation at tokens_to_loss and the one before it, or the start
  std::string target_data = {};  // the held-out set of that table
  std::string target_of = {};    // whose loss it is, "dense at the end of phase one"
  std::map<std::string, double> accuracy = {};  // of the table tasks
  bool has_collapsed = false;                   // its figures of balance are no balance
};

std::map<std::string, Outcome> outcomes_of(const std::vector<train::Arm>& arms, const train::NamedTables& tables);

}  // namespace evenkeel::study
