// Which groups of a study's arms differ in one thing alone: the questions that the study can answer.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/results.h"

namespace evenkeel::study {

// Two groups that differ in one aspect and the seed: all of the routing (model.router, model.balance, model.capacity),
// of the rest of [model], of the replay, of the schedules, of the data, of the phases' lengths, or one other key of the
// recipe.
struct Pair {
  std::string base, other;  // names of the groups
  std::string aspect;       // "routing", "shape", "replay", "schedule", "data", "length", or the key
  std::string difference;   // "router sinkhorn in place of top_k; balance loss none in place of switch 0.01"
  // Base and other of each seed that both have; at least one.
  std::vector<std::pair<const train::Arm*, const train::Arm*>> runs;
};

// For each group and aspect the first group before it that differs in this aspect alone; with replay, one without any
// comes before others. Arms that replay everything are controls, in which nothing shifts: they are no pair of the
// replay. Pointers into `arms`.
std::vector<Pair> pairs_of(const std::vector<train::Arm>& arms);

// Two groups as a pair; none where they differ in several aspects, in none, or have no seed in common.
std::optional<Pair> pair_of(const std::vector<train::Arm>& arms, const std::string& base, const std::string& other);

// For each group with a router that is in no pair, though there are others of its seeds: a sentence that names all in
// which it differs from the nearest.
std::vector<std::string> unpaired_notes(const std::vector<train::Arm>& arms, const std::vector<Pair>& pairs);

}  // namespace evenkeel::study
