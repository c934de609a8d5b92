// Temporal locality (Mixtral, arXiv 2401.04088, table 5): how often a token and the next one choose the same expert.
// Neighbours are tokens of one sequence and one document, neither of them padding.
#include <ATen/Parallel.h>

#include "analysis/analyses/cells.h"

namespace evenkeel::analysis {
namespace {

// Sums over neighbours of one layer and data set.
struct Repeats {
  // Neighbours, each with a choice, of which the first choice, and one of all choices, is the same; blocks of windows
  // are the clusters.
  ShareSums first, any;
  std::vector<int64_t> first_choices;  // [E] of both tokens of each pair
  std::map<std::pair<int64_t, int64_t>, int64_t>
      sizes;  // pairs by their numbers of choices: (k, k) alone where the router gives exactly k
};

// [B * (S - 1)] as 0 or 1, at token t: whether t + 1 is its neighbour.
std::vector<uint8_t> neighbours(const Observation& batch) {
  const int64_t n_tokens = batch.input_ids.numel(), length = batch.input_ids.size(1);
  const bool* padding = padding_of(batch);
  const int32_t* document = batch.document_ids.defined() ? batch.document_ids.const_data_ptr<int32_t>() : nullptr;
  std::vector<uint8_t> out(static_cast<size_t>(n_tokens), 0);
  for (int64_t t = 0; t + 1 < n_tokens; ++t) {
    if ((t + 1) % length == 0 || (padding != nullptr && (padding[t] || padding[t + 1]))) continue;
    out[static_cast<size_t>(t)] = document == nullptr || document[t] == document[t + 1] ? 1 : 0;
  }
  return out;
}

void add_layer(const TokenChoices& choices, std::span<const uint8_t> is_neighbour, const LayerShape& layer,
               const Observation& batch, Repeats& sums) {
  const int64_t length = batch.input_ids.size(1);
  std::vector<int64_t> chosen_by(static_cast<size_t>(layer.n_experts), -1);  // [E] the last token that went there
  sums.first_choices.resize(static_cast<size_t>(layer.n_experts));
  std::pair<int64_t, int64_t> last_sizes;
  int64_t* of_last_sizes = nullptr;
  int64_t pairs = 0, first = 0, any = 0;  // of the window
  for (int64_t t = 0; t < choices.n_tokens(); ++t) {
    if ((t + 1) % length == 0) {  // the last token has no neighbour
      sums.first.add(std::exchange(first, 0), pairs, batch.cluster_of(t / length));
      sums.any.add(std::exchange(any, 0), std::exchange(pairs, 0), batch.cluster_of(t / length));
    }
    if (is_neighbour[static_cast<size_t>(t)] == 0) continue;
    const auto here = choices.of(t), next = choices.of(t + 1);
    if (here.empty() || next.empty()) continue;
    for (const int64_t expert : here) chosen_by[static_cast<size_t>(expert)] = t;
    bool repeats = false;
    for (const int64_t expert : next) repeats = repeats || chosen_by[static_cast<size_t>(expert)] == t;
    const std::pair<int64_t, int64_t> sizes{here.size(), next.size()};
    if (of_last_sizes == nullptr || sizes != last_sizes) {
      of_last_sizes = &sums.sizes[sizes];
      last_sizes = sizes;
    }
    ++*of_last_sizes;
    ++pairs;
    for (const int64_t expert : {here[0], next[0]}) ++sums.first_choices[static_cast<size_t>(expert)];
    first += here[0] == next[0] ? 1 : 0;
    any += repeats ? 1 : 0;
  }
}

class TemporalLocality : public Analysis {
 public:
  explicit TemporalLocality(const AnalysisInput& input)
      : data_(input.data), layers_(input.layers), sums_(input.data.size(), std::vector<Repeats>(input.layers.size())) {}

  void observe(const Observation& batch) override {
    n_tokens_ += counted_tokens(batch);
    const auto choices = choices_of(batch.routing, layers_, batch.input_ids.numel());
    const auto is_neighbour = neighbours(batch);
    at::parallel_for(0, static_cast<int64_t>(layers_.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer)
        add_layer(choices[layer], is_neighbour, layers_[layer], batch, sums_.at(batch.data)[layer]);
    });
  }

  std::vector<NamedTable> tables() const override {
    Table table;
    table.columns = {{"layer", ""},
                     {"domain", ""},
                     {"first_choice", "of pairs"},
                     {"any_choice", "of pairs"},
                     {"chance_first", "of pairs"},
                     {"chance_any", "of pairs"},
                     {"pairs", "pairs"},
                     {"first_choice_low", "of pairs"},
                     {"first_choice_high", "of pairs"},
                     {"any_choice_low", "of pairs"},
                     {"any_choice_high", "of pairs"},
                     {"load_first", "of pairs"}};
    table.tokens = n_tokens_;
    table.source =
        "arXiv 2401.04088, table 5: share of neighbouring tokens (same sequence and document, no padding) with the "
        "same first choice, and with a common expert among all "
        "choices, before drops. Chance: 1 / E, 1 - C(E - k, k) / C(E, k). load_first: of independent first choices "
        "at the layer's own load, the sum of its squared shares over the tokens of the pairs. ..._low, ..._high: 95 %, "
        "from the spread "
        "between blocks of windows";
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      for (size_t d = 0; d < data_.size(); ++d) {
        const auto& sums = sums_[d][layer];
        const auto E = layers_[layer].n_experts;
        const auto first = share_interval(sums.first), any = share_interval(sums.any);
        table.add_row({layers_[layer].layer, data_[d].name, ratio(sums.first.part, sums.first.whole),
                       ratio(sums.any.part, sums.any.whole), 1.0 / static_cast<double>(E),
                       chance_any(sums, layers_[layer]), sums.first.whole, low_of(first), high_of(first), low_of(any),
                       high_of(any), load_first(sums)});
      }
    }
    return {{"temporal_locality", std::move(table)}};
  }

 private:
  static Json load_first(const Repeats& sums) {
    return sums.first.whole == 0 ? Json() : Json(load_agreement(sums.first_choices, sums.first_choices));
  }
  static double chance_any(const Repeats& sums, const LayerShape& layer) {
    if (sums.sizes.size() < 2) {  // one kind of pair, or none: as written
      const auto [a, b] = sums.sizes.empty() ? std::pair{layer.top_k, layer.top_k} : sums.sizes.begin()->first;
      return chance_of_repeat(layer.n_experts, a, b);
    }
    double sum = 0;
    for (const auto& [sizes, n] : sums.sizes)
      sum += static_cast<double>(n) * chance_of_repeat(layer.n_experts, sizes.first, sizes.second);
    return sum / static_cast<double>(sums.any.whole);
  }

  std::vector<DataSet> data_;
  std::vector<LayerShape> layers_;
  std::vector<std::vector<Repeats>> sums_;  // [data][layer]
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_temporal_locality_analysis(const AnalysisInput& input) {
  return std::make_unique<TemporalLocality>(input);
}

double temporal_locality_analysis_bytes(const AnalysisInput& input) {
  double bytes = 1024;
  for (const auto& layer : input.layers)  // at worst each pair of sizes once
    bytes += static_cast<double>(input.data.size()) * (sizeof(Repeats) + 8.0 * static_cast<double>(layer.n_experts) +
                                                       64.0 * static_cast<double>(layer.n_experts * layer.n_experts));
  return bytes;
}

}  // namespace evenkeel::analysis
