// How sure the losses of evaluations are, and their differences.
#pragma once

#include <optional>

#include "analysis/cluster_mean.h"
#include "record/run_lines.h"

namespace evenkeel::train {

// A loss, or a difference of losses, on one held-out set.
struct LossFigure {
  double value = 0;
  std::optional<double> se;                      // standard error; nullopt where it is not known
  std::optional<analysis::ClusterMeans> blocks;  // of the text; nullopt where they are not known
};

// Evaluations of before there were errors have neither.
LossFigure loss_figure(const record::SetResult& result);

// a - b. Where both have the losses of the same blocks of text the error is that of the paired differences: what makes
// a block hard for both cancels. Otherwise it is sqrt(se_a^2 + se_b^2), as if the texts were independent, which is too
// large where they are the same.
LossFigure difference(const LossFigure& a, const LossFigure& b);

// Half of the width of its interval that misses with probability `miss`: Student's quantile of blocks - 1 where the
// blocks are known, else the normal one, times the error; nullopt where that is not known.
std::optional<double> half_width(const LossFigure& figure, double miss = 0.05);

}  // namespace evenkeel::train
