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
  std::string against = {};    // what forgetting is measured against: a phase, or "step 0"
  bool has_own_before = true;  // mri_before is of training batches too, not of held-out old data at step 0
  double mri_before = NAN, mri_first = NAN, mri_peak = NAN,
         mri_end = NAN;    // of training batches around the phase's start, mean over layers
  int64_t peak_steps = 0;  // in which mri_peak was sought
  std::optional<train::LossFigure> eval_mri = {}, eval_mri_old = {};  // on held-out new and old data, mean over layers
  double even_load = NAN;                                             // k / E: no MRI is below it
  double experts_in_use = NAN, experts = NAN;                         // of all layers, on held-out new data
  double tokens_to_loss = NAN, target_loss = NAN;                     // of the table tokens_to_loss
  double tokens_interval = NAN;   // between the evaluation at tokens_to_loss and the one before it, or the start
  std::string target_data = {};   // the held-out set of that table
  std::string target_of = {};     // whose loss it is, "dense at the end of phase one"
  std::string target_group = {};  // that it is of
  bool is_own_target = false;  // the arm ended its own first phase with that very loss: it is the reference, or shares
                               // its phase
  std::map<std::string, double> accuracy = {};                  // of the table tasks
  std::vector<std::string> collapsed_on = {};                   // of train/warnings.h
  bool has_collapsed() const { return !collapsed_on.empty(); }  // its figures of balance are no balance
};

// "has collapsed on training batches, held-out b, in 1 of 2 seeds": of runs of one group; empty where none has.
std::string collapse_words(const std::vector<const Outcome*>& outcomes);

std::map<std::string, Outcome> outcomes_of(const std::vector<train::Arm>& arms, const train::NamedTables& tables);

}  // namespace evenkeel::study
