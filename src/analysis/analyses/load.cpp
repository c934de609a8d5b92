// Load of the experts by layer and data set.
#include "analysis/analysis.h"
#include "analysis/routing_stats.h"

namespace evenkeel::analysis {
namespace {

class Load : public Analysis {
 public:
  explicit Load(const AnalysisInput& input) : input_(input), counts_(input.data.size()) {}

  void observe(const Observation& batch) override { add_counts(counts_.at(batch.data), batch.routing); }

  std::vector<NamedTable> tables() const override {
    Table table;
    table.columns = {{"layer", ""}, {"domain", ""}, {"mri", ""}, {"entropy", ""}, {"cv", ""}, {"max_share", ""}};
    table.source = "arXiv 2503.05029 (MRI)";
    for (size_t d = 0; d < counts_.size(); ++d)
      for (const auto& counts : counts_[d]) {
        const auto stats = routing_stats(counts);
        table.add_row({stats.layer, input_.data[d].name, stats.mri, stats.entropy, stats.cv, *std::max_element(stats.load.begin(), stats.load.end())});
      }
    return {{"load", std::move(table)}};
  }

 private:
  AnalysisInput input_;
  std::vector<std::vector<RoutingCounts>> counts_;
};

}  // namespace

std::unique_ptr<Analysis> make_load_analysis(const AnalysisInput& input) { return std::make_unique<Load>(input); }

double load_analysis_bytes(const AnalysisInput& input) {
  double bytes = 1024;
  for (const auto& layer : input.layers) bytes += 8.0 * static_cast<double>(input.data.size()) * static_cast<double>(layer.n_experts);
  return bytes;
}

}  // namespace evenkeel::analysis
