#include "train/loss_error.h"

#include <cmath>

namespace evenkeel::train {

LossFigure loss_figure(const Json& result) {
  LossFigure out{result.at("loss").as_double(), std::nullopt, std::nullopt};
  if (const Json* se = result.find("loss_se"); se != nullptr && !se->is_null()) out.se = se->as_double();
  if (const Json* blocks = result.find("loss_blocks")) out.blocks = analysis::cluster_means_from_json(*blocks);
  return out;
}

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

}  // namespace evenkeel::train
