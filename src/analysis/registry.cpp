// The list of analyses, in the order of the report. To add one: its file in analysis/analyses with
// make_X_analysis and X_analysis_bytes, one line here, its test beside.
#include "analysis/analysis.h"

#define EVENKEEL_ANALYSES(X) \
  X(load, "how evenly the experts are loaded, which domain reaches which expert, how alike domains are")

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
