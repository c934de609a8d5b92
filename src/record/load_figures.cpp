#include "record/load_figures.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace evenkeel::record {

void require_figures_of_load(const LayerRouting& layer, const std::string& where) {
  if (layer.load.empty()) return;
  constexpr double kRounding = 1e-9;  // of sums over experts in double precision, which are exact to about E * 1e-16
  const auto require_figure = [&](const char* name, double got, double needed) {
    require<DataError>(std::abs(got - needed) <= kRounding * std::max(1.0, needed), where, ": got ", got, " as '", name,
                       "' of layer ", layer.layer, "; need ", needed, ", as its 'load' gives");
  };
  const double sum = std::accumulate(layer.load.begin(), layer.load.end(), 0.0);
  const bool has_tokens = sum > 0;
  require<DataError>(!has_tokens || std::abs(sum - 1) <= kRounding, where, ": got a 'load' of layer ", layer.layer,
                     " whose shares sum to ", sum, "; need a sum of 1, or 0 without tokens");
  const auto n_experts = static_cast<double>(layer.load.size());
  double entropy = 0, square = 0;
  for (const double share : layer.load) {
    if (share > 0) entropy -= share * std::log(share);
    square += (share - 1 / n_experts) * (share - 1 / n_experts);
  }
  require_figure("dead", static_cast<double>(layer.dead),
                 static_cast<double>(std::count(layer.load.begin(), layer.load.end(), 0.0)));
  require_figure("entropy", layer.entropy, layer.load.size() > 1 ? entropy / std::log(n_experts) : 1.0);
  require_figure("cv", layer.cv, has_tokens ? std::sqrt(square * n_experts) : 0.0);
  require<DataError>((layer.mri > 0) == has_tokens, where, ": got ", layer.mri, " as 'mri' of layer ", layer.layer,
                     "; need ",
                     has_tokens ? "more than 0, as its 'load' has tokens" : "0, as its 'load' has no tokens");
}

}  // namespace evenkeel::record
