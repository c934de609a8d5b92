// Router saturation: how many of the reference's choices on a token the model makes again. Definition: OLMoE (arXiv
// 2409.02060, eq. 5), between an earlier and a later checkpoint; the same between the checkpoints before and after
// continual pre-training in arXiv 2503.05029. Reference = from, model = to.
#include <ATen/Parallel.h>

#include "analysis/analyses/cells.h"
#include "analysis/routing_stats.h"

namespace evenkeel::analysis {
namespace {

struct Sums {
  SaturationCounts counts = {};
  ShareSums first = {},
            all = {};  // windows are the clusters: tokens whose first choice is the same; choices that are made again
};

class Saturation : public Analysis {
 public:
  explicit Saturation(const AnalysisInput& input)
      : model_(input.model),
        reference_(input.reference),
        reference_step_(input.reference_step),
        data_(input.data),
        layers_(input.layers),
        sums_(input.data.size()) {
    for (auto& by_layer : sums_)
      for (const auto& layer : layers_) by_layer.push_back({.counts = {.n_experts = layer.n_experts}});
  }

  void observe(const Observation& batch) override {
    if (batch.reference.empty()) return;
    has_reference_ = true;
    n_tokens_ += counted_tokens(batch);
    for (const auto* routing : {&batch.reference, &batch.routing})
      choices_of(*routing, layers_, batch.input_ids.numel());  // their shapes
    at::parallel_for(0, static_cast<int64_t>(layers_.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer) {
        auto to = batch.routing[layer];
        to.is_padding = batch.is_padding.defined() ? batch.is_padding.view({-1}) : batch.is_padding;
        auto& sums = sums_.at(batch.data)[layer];
        int64_t n_windows = 0;
        for (const auto& window : count_saturation(batch.reference[layer], to, batch.input_ids.size(1))) {
          const int64_t cluster = batch.cluster_of(n_windows++);
          add_counts(sums.counts, window);
          sums.first.add(window.same_firsts, window.firsts, cluster);
          sums.all.add(window.common, window.chosen, cluster);
        }
      }
    });
  }

  std::vector<NamedTable> tables() const override {
    if (!has_reference_) return {};
    Table table;
    table.columns = {{"arm", ""},
                     {"layer", ""},
                     {"k", ""},
                     {"from", ""},
                     {"to", ""},
                     {"data", ""},
                     {"saturation", ""},
                     {"chance", ""},
                     {"from_step", "steps"},
                     {"saturation_low", ""},
                     {"saturation_high", ""}};
    table.tokens = n_tokens_;
    table.source =
        "arXiv 2409.02060, eq. 5: mean over tokens of |from and to| / k, sets of the k chosen experts before drops; "
        "where a router does not "
        "give exactly k, sum |from and to| / sum |to|. k = 1: the first choice is the same. Chance: k / E. from_step: "
        "the optimizer step of `from`. saturation_low, _high: 95 %, from the spread between blocks of windows";
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      for (size_t d = 0; d < data_.size(); ++d) add_row(table, layer, d, 1);
      for (size_t d = 0; d < data_.size() && layers_[layer].top_k > 1; ++d)
        add_row(table, layer, d, layers_[layer].top_k);
    }
    return {{"saturation", std::move(table)}};
  }

  std::vector<std::string> notes() const override {
    if (has_reference_) return {};
    return {"saturation: needs a reference model"};
  }

 private:
  void add_row(Table& table, size_t layer, size_t data, int64_t k) const {
    const auto& [number_of_layer, n_experts, top_k] = layers_[layer];
    const auto& [counts, first, all] = sums_[data][layer];
    const auto interval = share_interval(k == 1 ? first : all);
    const Json value = k == 1 ? ratio(counts.same_firsts, counts.firsts) : ratio(counts.common, counts.chosen);
    const Json chance = k == 1 ? Json(counts.chance_of_first()) : ratio(counts.products, n_experts * counts.chosen);
    table.add_row({model_, number_of_layer, k, reference_, model_, data_[data].name, value, chance,
                   known(reference_step_), low_of(interval), high_of(interval)});
  }

  std::string model_, reference_;
  std::optional<int64_t> reference_step_;
  std::vector<DataSet> data_;
  std::vector<LayerShape> layers_;
  std::vector<std::vector<Sums>> sums_;  // [data][layer]
  bool has_reference_ = false;
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_saturation_analysis(const AnalysisInput& input) {
  return std::make_unique<Saturation>(input);
}

double saturation_analysis_bytes(const AnalysisInput& input) {
  return static_cast<double>(sizeof(Sums) * input.data.size() * input.layers.size());
}

}  // namespace evenkeel::analysis
