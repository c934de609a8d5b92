#include "train/loss_error.h"

#include <cmath>

#include "analysis/share_interval.h"

namespace evenkeel::train {

LossFigure loss_figure(const record::SetResult& result) { return {result.loss, result.loss_se, result.loss_blocks}; }

LossFigure difference(const LossFigure& a, const LossFigure& b) {
  LossFigure out{a.value - b.value, std::nullopt, std::nullopt};
  if (a.blocks && b.blocks) out.blocks = analysis::difference(*a.blocks, *b.blocks);
  if (out.blocks) {
    out.se = analysis::standard_error(*out.blocks);
  } else if (a.se && b.se) {
    out.se = std::hypot(*a.se, *b.se);
  }
  return out;
}

std::optional<double> half_width(const LossFigure& figure, double miss) {
  if (!figure.se) return std::nullopt;
  const double quantile = figure.blocks ? analysis::t_quantile(static_cast<int64_t>(figure.blocks->size()) - 1, miss)
                                        : analysis::normal_quantile(1 - miss / 2);
  return quantile * *figure.se;
}

}  // namespace evenkeel::train
