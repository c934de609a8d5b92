// Runs analyses over observations, wherever these come from: a model over windows, or trace files.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "analysis/analysis.h"
#include "analysis/forward.h"

namespace evenkeel::analysis {

// The batches of one data set, in order.
class ObservationSource {
 public:
  virtual ~ObservationSource() = default;
  virtual int64_t n_tokens() const = 0;       // of all batches, padding not counted
  virtual int64_t n_clusters() const = 0;     // windows, or batches where these were routed together
  virtual bool next(Observation& batch) = 0;  // false at the end; `data` is left to the caller
};

// A model over windows. The models outlive it; `reference` may be null.
std::unique_ptr<ObservationSource> make_forward_source(const LoadedModel& model, const LoadedModel* reference,
                                                       std::unique_ptr<Windows> windows, const ForwardOptions& options);

// The named analyses, in the order of the registry; every one when `names` is empty. ConfigError names `option`, an
// unknown analysis and the known ones.
std::vector<const AnalysisKind*> find_analyses(const std::vector<std::string>& names, const std::string& option);

// What the sums of each analysis take at worst.
struct AnalysisBytes {
  std::string name;
  double bytes = 0;
};
std::vector<AnalysisBytes> analysis_bytes(const std::vector<const AnalysisKind*>& kinds, const AnalysisInput& input);

struct AnalysisTables {
  std::vector<NamedTable> tables;  // in the order of `kinds`
  std::vector<std::string> notes;  // what is missing, and why
};
// Every source in turn (source i is data set i of the input), each batch through all analyses; blocks of neighbouring
// windows are the clusters of their intervals. `progress` gets the
// tokens done after each batch.
AnalysisTables run_analyses(const std::vector<const AnalysisKind*>& kinds, AnalysisInput input,
                            const std::vector<std::unique_ptr<ObservationSource>>& sources,
                            const std::function<void(int64_t n_tokens)>& progress);

}  // namespace evenkeel::analysis
