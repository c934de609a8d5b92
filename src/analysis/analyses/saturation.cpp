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
  // [E] first choices of the tokens that have an expert in both, and all choices, under either.
  std::vector<int64_t> first_from = {}, first_to = {}, all_from = {}, all_to = {};
  int64_t n_tokens = 0;
};

void add_loads(const TokenChoices& from, const TokenChoices& to, const bool* padding, Sums& sums) {
  for (int64_t t = 0; t < to.n_tokens(); ++t) {
    if (padding != nullptr && padding[t]) continue;
    ++sums.n_tokens;
    for (const int64_t expert : from.of(t)) ++sums.all_from[static_cast<size_t>(expert)];
    for (const int64_t expert : to.of(t)) ++sums.all_to[static_cast<size_t>(expert)];
    if (from.of(t).empty() || to.of(t).empty()) continue;
    ++sums.first_from[static_cast<size_t>(from.of(t)[0])];
    ++sums.first_to[static_cast<size_t>(to.of(t)[0])];
  }
}

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
      for (const auto& layer : layers_) {
        const std::vector<int64_t> none(static_cast<size_t>(layer.n_experts));
        by_layer.push_back({.counts = {.n_experts = layer.n_experts},
                            .first_from = none,
                            .first_to = none,
                            .all_from = none,
                            .all_to = none});
      }
  }

  void observe(const Observation& batch) override {
    if (batch.reference.empty()) return;
    has_reference_ = true;
    n_tokens_ += counted_tokens(batch);
    const auto from = choices_of(batch.reference, layers_, batch.input_ids.numel()),
               chosen = choices_of(batch.routing, layers_, batch.input_ids.numel());
    at::parallel_for(0, static_cast<int64_t>(layers_.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer) {
        auto to = batch.routing[layer];
        to.is_padding = batch.is_padding.defined() ? batch.is_padding.view({-1}) : batch.is_padding;
        auto& sums = sums_.at(batch.data)[layer];
        add_loads(from[layer], chosen[layer], padding_of(batch), sums);
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
                     {"saturation_high", ""},
                     {"load_chance", ""}};
    table.tokens = n_tokens_;
    table.source =
        "arXiv 2409.02060, eq. 5: mean over tokens of |from and to| / k, sets of the k chosen experts before drops; "
        "where a router does not "
        "give exactly k, sum |from and to| / sum |to|. k = 1: the first choice is the same. Chance: k / E. from_step: "
        "the optimizer step of `from`. load_chance: where both choose by themselves, each at its own load. "
        "saturation_low, _high: 95 %, from the spread between blocks of windows";
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
    const auto& sums = sums_[data][layer];
    const auto& counts = sums.counts;
    const auto interval = share_interval(k == 1 ? sums.first : sums.all);
    const Json value = k == 1 ? ratio(counts.same_firsts, counts.firsts) : ratio(counts.common, counts.chosen);
    const Json chance = k == 1 ? Json(counts.chance_of_first()) : ratio(counts.products, n_experts * counts.chosen);
    table.add_row({model_, number_of_layer, k, reference_, model_, data_[data].name, value, chance,
                   known(reference_step_), low_of(interval), high_of(interval), load_chance_of(sums, k)});
  }

  // An expert is among the choices of both with the product of its shares of tokens.
  static Json load_chance_of(const Sums& sums, int64_t k) {
    if (k == 1) return sums.counts.firsts == 0 ? Json() : Json(load_agreement(sums.first_from, sums.first_to));
    double common = 0;
    for (size_t e = 0; e < sums.all_to.size(); ++e)
      common += static_cast<double>(sums.all_from[e]) * static_cast<double>(sums.all_to[e]);
    return number(common / static_cast<double>(sums.n_tokens) / static_cast<double>(sums.counts.chosen));
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
  double bytes = 0;
  for (const auto& layer : input.layers)
    bytes += static_cast<double>(input.data.size() *
                                 (sizeof(Sums) + 4 * sizeof(int64_t) * static_cast<size_t>(layer.n_experts)));
  return bytes;
}

}  // namespace evenkeel::analysis
