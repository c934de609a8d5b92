// The tables of expert load from counts: of batches (analyses/load.cpp) and of published count files.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/analysis.h"
#include "analysis/max_share_interval.h"
#include "analysis/routing_stats.h"
#include "analysis/window_bootstrap.h"

namespace evenkeel::analysis {

// One layer of one data set.
struct LayerLoad {
  RoutingCounts assignments;           // before drops; n_tokens = 0 and top_k = 0 where they are unknown
  std::vector<int64_t> first_choices;  // [E] tokens by the expert that they prefer; empty where unknown
  std::optional<WindowSums> windows;   // where windows were routed; without them nothing says how sure the figures are
  std::optional<WindowBootstrap> bootstrap = {};  // of tokens by expert, with `windows`
  bool gives_k = true;                            // every token has top_k experts, so that chance is known
  bool knows_drops = true;                        // false: n_dropped is not known
  bool has_tokens() const { return assignments.n_tokens > 0; }
  bool has_chance() const { return gives_k && has_tokens() && assignments.top_k > 0; }
};
struct DomainLoad {
  std::string name;
  std::vector<LayerLoad> layers;
};

// `load`, `domain_specialization`, `domain_similarity` (docs/analyses.md): all figures in fp64 from the counts alone.
// Columns that are not known are null. Pairs of data sets are compared where both have the layer.
std::vector<NamedTable> load_tables(const std::vector<DomainLoad>& domains);

}  // namespace evenkeel::analysis
