// The list of analyses, in the order of the report. To add one: its file in analysis/analyses with
// make_X_analysis and X_analysis_bytes, one line here, its test beside.
#include "analysis/analysis.h"

#define EVENKEEL_ANALYSES(X)                                                                             \
  X(load, "how evenly the experts are loaded, which domain reaches which expert, how alike domains are") \
  X(saturation, "how many of the reference's choices the model makes again, by layer")                   \
  X(early_routing, "how far the experts of single token ids were fixed at the reference")                \
  X(vocabulary_specialization,                                                                           \
    "how much of an id's occurrences its favourite expert gets: input, predicted and true next ids")     \
  X(expert_tokens, "the tokens of each expert")                                                          \
  X(continual_vocabulary, "whether ids still go to the expert that they had under the reference")        \
  X(token_specialization, "how unevenly the assignments of a token id spread over the experts")          \
  X(position_specialization, "the same for the position in the sequence")                                \
  X(coactivation, "which experts a token has together, and how that changed since the reference")        \
  X(co_routing, "where the tokens of an expert go in the next MoE layer")                                \
  X(temporal_locality, "how often neighbouring tokens choose the same expert")                           \
  X(drops, "which tokens lose experts to capacity, by position and data set")                            \
  X(semantic_clusters, "whether the tokens of an expert resemble each other in the embedding")           \
  X(balance_losses, "every balance loss recomputed from the router's logits")

namespace evenkeel::analysis {

#define X(name, help)                                                           \
  std::unique_ptr<Analysis> make_##name##_analysis(const AnalysisInput& input); \
  double name##_analysis_bytes(const AnalysisInput& input);
EVENKEEL_ANALYSES(X)
#undef X

const std::vector<AnalysisKind>& analysis_kinds() {
#define X(name, help) {#name, help, make_##name##_analysis, name##_analysis_bytes},
  static const std::vector<AnalysisKind> kinds = {EVENKEEL_ANALYSES(X)};
#undef X
  return kinds;
}

}  // namespace evenkeel::analysis
