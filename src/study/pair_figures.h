// The figures of two groups of arms that differ in one thing, over their runs of the same seeds: what headlines tell
// and the table `pairs` holds.
#pragma once

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/table.h"
#include "study/estimates.h"
#include "study/outcomes.h"
#include "study/pairs.h"

namespace evenkeel::study {

// Of an arm; nullopt where it has none.
using Figure = std::function<std::optional<train::LossFigure>(const Outcome&)>;
Figure plain_figure(double Outcome::*figure);  // one without an error of its own

struct PairFigure {
  std::string name, data, unit;  // data: the held-out set, or the task; empty where it is of none
  Estimates values;              // of the groups "base" and "other"
  size_t n = 0;                  // pairs of runs that have it
  double limit = INFINITY;       // of Difference
  double resolution = 0;         // how finely it is known, in its unit: tokens between evaluations
  Estimate base() const { return values.of("base"); }
  Estimate other() const { return values.of("other"); }
  Difference difference() const {
    auto out = values.difference("other", "base");
    out.limit = limit;
    return out;
  }
  // Whether the difference is no more than what the figure is known to. Two that are equal are so anyway.
  bool is_within_resolution() const { return resolution > 0 && std::abs(difference().value) <= resolution; }
};

// One figure, of the pairs of runs in which both have it.
PairFigure compare(const Pair& pair, const std::map<std::string, Outcome>& outcomes, const Figure& figure);

// All that at least one pair of runs has: forgetting, loss, accuracy, tokens_to_loss, eval_mri, experts_in_use. None
// where the two have other data, on which their losses do not compare; no forgetting where it is measured against
// another phase.
std::vector<PairFigure> pair_figures(const Pair& pair, const std::map<std::string, Outcome>& outcomes);

// The table `pairs` (docs/formats.md) out of the tables that are there.
void add_pairs(const std::vector<train::Arm>& arms, train::NamedTables& tables);

}  // namespace evenkeel::study
