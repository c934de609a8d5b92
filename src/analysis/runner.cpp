#include "analysis/runner.h"

#include <set>

#include "analysis/cluster_mean.h"
#include "analysis/id_tally.h"
#include "core/config_tree.h"
#include "core/errors.h"

namespace evenkeel::analysis {
namespace {

class ForwardSource : public ObservationSource {
 public:
  ForwardSource(const LoadedModel& model, const LoadedModel* reference, std::unique_ptr<Windows> windows,
                const ForwardOptions& options)
      : windows_(std::move(windows)), options_(options), forwards_(model, reference, batches(), options) {}
  int64_t n_tokens() const override { return windows_->n_tokens(); }
  int64_t n_clusters() const override {
    const int64_t together = options_.mode == moe::Mode::train ? options_.batch_size : 1;
    return (windows_->n_windows() + together - 1) / together;
  }
  bool next(Observation& batch) override {
    auto seen = forwards_.next();
    if (!seen) return false;
    batch = std::move(seen->observation);
    if (options_.mode == moe::Mode::train)
      batch.together = n_windows_ / options_.batch_size;  // a shorter last window with those before it, as in a trace
    n_windows_ += batch.input_ids.size(0);
    return true;
  }

 private:
  model::BatchPasses::Batches batches() const {
    return [windows = windows_.get(), size = options_.batch_size] { return windows->next(size); };
  }
  std::unique_ptr<Windows> windows_;
  ForwardOptions options_;
  Forwards forwards_;
  int64_t n_windows_ = 0;
};

int64_t counted_tokens(const Observation& batch) {
  return batch.is_padding.defined() ? batch.is_padding.logical_not().sum().item<int64_t>() : batch.input_ids.numel();
}

}  // namespace

std::unique_ptr<ObservationSource> make_forward_source(const LoadedModel& model, const LoadedModel* reference,
                                                       std::unique_ptr<Windows> windows,
                                                       const ForwardOptions& options) {
  return std::make_unique<ForwardSource>(model, reference, std::move(windows), options);
}

std::vector<const AnalysisKind*> find_analyses(const std::vector<std::string>& names, const std::string& option) {
  std::vector<std::string> known;
  for (const auto& kind : analysis_kinds()) known.emplace_back(kind.name);
  for (const auto& name : names) {
    const std::string nearest = nearest_name(name, known);
    require<ConfigError>(std::find(known.begin(), known.end(), name) != known.end(), option, ": got '", name,
                         "'; need one of those that 'evenkeel analyze --help' lists",
                         nearest.empty() ? "" : " (did you mean '" + nearest + "'?)");
  }
  std::vector<const AnalysisKind*> out;
  for (const auto& kind : analysis_kinds())
    if (names.empty() || std::find(names.begin(), names.end(), kind.name) != names.end()) out.push_back(&kind);
  return out;
}

std::vector<AnalysisBytes> analysis_bytes(const std::vector<const AnalysisKind*>& kinds, const AnalysisInput& input) {
  auto once = input;
  once.tallies = std::make_shared<IdTallies>();  // counts that several share are stated once
  std::vector<AnalysisBytes> out;
  for (const auto* kind : kinds) out.push_back({kind->name, kind->bytes(once)});
  return out;
}

AnalysisTables run_analyses(const std::vector<const AnalysisKind*>& kinds, AnalysisInput input,
                            const std::vector<std::unique_ptr<ObservationSource>>& sources,
                            const std::function<void(int64_t)>& progress) {
  input.tallies = std::make_shared<IdTallies>();
  std::vector<std::unique_ptr<Analysis>> analyses;
  for (const auto* kind : kinds) analyses.push_back(kind->make(input));
  int64_t n_tokens = 0;
  for (size_t data = 0; data < sources.size(); ++data) {
    Observation batch;
    const int64_t block = block_size(sources[data]->n_clusters());
    for (int64_t n_windows = 0; sources[data]->next(batch); n_windows += batch.input_ids.size(0)) {
      batch.data = data;
      batch.first_window = n_windows;
      batch.block = block;
      for (const auto& analysis : analyses) analysis->observe(batch);
      n_tokens += counted_tokens(batch);
      progress(n_tokens);
    }
  }
  AnalysisTables out;
  for (const auto& analysis : analyses) {
    for (auto& table : analysis->tables()) out.tables.push_back(std::move(table));
    for (auto& note : analysis->notes()) out.notes.push_back(std::move(note));
  }
  return out;
}

}  // namespace evenkeel::analysis
