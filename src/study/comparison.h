// What a study compares: whether its arms cost the same, and what differs between them.
#pragma once

#include <string>
#include <vector>

#include "train/results.h"

namespace evenkeel::study {

// The least and the most training FLOPs a token of some models.
struct FlopMatch {
  static constexpr double kTolerance = 0.05;  // of the least
  double least = 0, most = 0;
  void add(double flops_per_token);
  bool holds() const { return most <= (1 + kTolerance) * least; }
};

// Whether the last phase has other data than the first.
bool shifts_data(const train::Arm& arm);
// Share of each batch of the last phase that is replayed, and whether any phase replays; without replay 0 and false.
double replay_fraction(const train::Arm& arm);
bool has_replay(const train::Arm& arm);

double training_flops_per_token(const train::Arm& arm);

// An arm's recipe without what does not bear on the weights (evaluation, the rhythm of checkpoints), its seed, and the
// replay of its phases: arms of which this is the same differ in replay and seed alone.
std::string recipe_without_replay(const train::Arm& arm);

// Whether arms of a group, which differ by the seed, have their first weights from one and the same place: what was
// trained before them does not vary with the seed.
bool seeds_share_start(const std::vector<train::Arm>& arms);

// Names of data and tokens of each phase: arms of which this is the same have the same shift and budget.
std::string budget_of(const train::Arm& arm);

// Whether a key of a recipe is of model.router, model.balance or model.capacity.
bool is_routing_key(const std::string& key);

// The routing of an arm in words: kind of router, balance losses with their coefficients, coefficient of the z-loss,
// capacity rule; "none" where there is none.
struct RoutingWords {
  std::string router, balance, z_loss, capacity;
};
RoutingWords routing_words(const train::Arm& arm);

// `comparison` of a study's results.json (docs/formats.md).
Json comparison_json(const std::vector<train::Arm>& arms);

}  // namespace evenkeel::study
