// Load: how evenly the experts of a layer are used by a data set (MRI, arXiv 2503.05029), which domain reaches which
// expert (domain specialization, arXiv 2409.02060, eq. 7), and how alike the loads of two domains are. Assignments
// count before drops. Sums: a few numbers for each data set, layer and expert, and their bootstrap.
#include "analysis/analyses/cells.h"
#include "analysis/analyses/load_tables.h"

namespace evenkeel::analysis {
namespace {

// Adds one batch's first choices and the spread of its windows, whose blocks are taken as often as `weights` [B] say.
void add_windows(LayerLoad& load, const TokenChoices& choices, const Observation& batch,
                 const std::vector<WindowBootstrap::Weights>& weights) {
  const auto top_k = static_cast<size_t>(load.assignments.top_k);
  const bool* is_padding = padding_of(batch);
  const int64_t n_windows = batch.input_ids.size(0), length = batch.input_ids.size(1);
  auto& windows = *load.windows;
  std::vector<int64_t> counts(load.first_choices.size());
  for (int64_t window = 0; window < n_windows; ++window) {
    std::fill(counts.begin(), counts.end(), 0);
    int64_t n_tokens = 0;
    for (int64_t t = window * length; t < (window + 1) * length; ++t) {
      if (is_padding != nullptr && is_padding[t]) continue;
      ++n_tokens;
      const auto experts = choices.of(t);
      for (const int64_t expert : experts) ++counts[static_cast<size_t>(expert)];
      if (!experts.empty()) ++load.first_choices[static_cast<size_t>(experts[0])];
      load.gives_k = load.gives_k && experts.size() == top_k;
    }
    if (n_tokens == 0) continue;
    load.bootstrap->add(weights[static_cast<size_t>(window)], counts);
    windows.add(counts, n_tokens, batch.cluster_of(window));
  }
}

class Load : public Analysis {
 public:
  explicit Load(const AnalysisInput& input) : shapes_(input.layers), seed_(input.seed), n_windows_(input.data.size()) {
    for (const auto& data : input.data) {
      domains_.push_back({data.name, {}});
      for (const auto& [layer, n_experts, top_k] : shapes_) {
        const std::vector<int64_t> zeros(static_cast<size_t>(n_experts), 0);
        LayerLoad load;
        load.assignments = {layer, n_experts, top_k, 0, 0, zeros};
        load.first_choices = zeros;
        load.windows = WindowSums{.count_squared = zeros, .count_times_tokens = zeros};
        load.bootstrap.emplace(zeros.size());
        domains_.back().layers.push_back(std::move(load));
      }
    }
  }

  void observe(const Observation& batch) override {
    const auto choices = choices_of(batch.routing, shapes_, batch.input_ids.numel());
    auto& layers = domains_.at(batch.data).layers;
    std::vector<WindowBootstrap::Weights> weights;
    for (int64_t window = 0; window < batch.input_ids.size(0); ++window, ++n_windows_[batch.data]) {
      const int64_t cluster = batch.cluster_of(window);
      weights.push_back(WindowBootstrap::weights(
          seed_, batch.data, cluster >= 0 ? static_cast<uint64_t>(cluster) : n_windows_[batch.data]));
    }
    for (size_t i = 0; i < layers.size(); ++i) {
      add_counts(layers[i].assignments, count_routing(batch.routing[i]));
      add_windows(layers[i], choices[i], batch, weights);
    }
  }

  // Data sets that were not observed have no rows.
  std::vector<NamedTable> tables() const override {
    auto seen = domains_;
    for (auto& domain : seen) {
      std::erase_if(domain.layers, [](const LayerLoad& load) { return !load.has_tokens(); });
      for (auto& load : domain.layers) load.windows = load.windows->closed();
    }
    return load_tables(seen);
  }

 private:
  std::vector<LayerShape> shapes_;
  uint64_t seed_;
  std::vector<uint64_t> n_windows_;  // observed, by data set
  std::vector<DomainLoad> domains_;
};

}  // namespace

std::unique_ptr<Analysis> make_load_analysis(const AnalysisInput& input) { return std::make_unique<Load>(input); }

double load_analysis_bytes(const AnalysisInput& input) {
  constexpr double kNumbersPerExpert = 4 + WindowBootstrap::kReplicates;
  double bytes = 0;
  for (const auto& layer : input.layers)
    bytes += kNumbersPerExpert * sizeof(int64_t) * static_cast<double>(input.data.size()) *
             static_cast<double>(layer.n_experts);
  return bytes + 1024;
}

}  // namespace evenkeel::analysis
