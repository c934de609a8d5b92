// Dropped tokens (OpenMoE, arXiv 2402.01739, section 4: drop towards the end): which share of the tokens at a position
// lost an expert to its capacity, and how far a data set's load is from that of the first one, which is what fills the
// experts.
#include <ATen/Parallel.h>

#include "analysis/analyses/cells.h"

namespace evenkeel::analysis {
namespace {

constexpr int64_t kBins = 16;  // of positions

// Tokens of a window.
struct Tokens {
  int64_t n = 0;    // with at least one expert
  int64_t any = 0;  // ... of which at least one is dropped
  int64_t all = 0;  // ... of which all are dropped
};
// The same over windows, whose blocks are the clusters.
struct TokenSums {
  ShareSums any, all;
  void add(const Tokens& window, int64_t cluster) {
    any.add(window.any, window.n, cluster);
    all.add(window.all, window.n, cluster);
  }
};
// Sums of one layer and data set.
struct Drops {
  std::vector<TokenSums> bins;  // of positions
  TokenSums whole;              // all positions
  ShareSums dropped;            // assignments
  std::vector<int64_t> load;    // [E] assignments before drops
  int64_t length = 0;           // of the longest window
  int64_t tokens = 0;
  int64_t least_capacity = 0, most_capacity = 0;  // of an expert and group; 0 = dropless
  bool is_seen = false;
  bool is_dropless() const { return most_capacity == 0 && dropped.part == 0; }
  // Without a capacity nothing could be dropped, and there is nothing to be unsure of.
  std::optional<Interval> interval(const ShareSums& sums) const {
    return is_dropless() ? std::nullopt : share_interval(sums);
  }
};

// Bins of a sequence: bin b has the positions bound(b) .. bound(b + 1) - 1.
struct Bins {
  int64_t length, n;
  explicit Bins(int64_t sequence_length) : length(std::max<int64_t>(1, sequence_length)), n(std::min(kBins, length)) {}
  int64_t bound(int64_t bin) const { return bin * length / n; }
};

void add_layer(const TokenChoices& choices, const moe::RoutingDecision& decision, const Observation& batch,
               const Bins& bins, Drops& sums) {
  const int64_t length = batch.input_ids.size(1);
  require<DataError>(length <= bins.length, "windows: got ", length, " tokens; need at most the sequence length, ",
                     bins.length);
  const bool* padding = padding_of(batch);
  const bool* dropped = decision.dropped.defined() ? decision.dropped.const_data_ptr<bool>() : nullptr;
  sums.length = std::max(sums.length, length);
  sums.least_capacity = sums.is_seen ? std::min(sums.least_capacity, decision.capacity) : decision.capacity;
  sums.most_capacity = std::max(sums.most_capacity, decision.capacity);
  sums.is_seen = true;
  for (int64_t first = 0; first < choices.n_tokens(); first += length) {  // window by window
    const int64_t cluster = batch.cluster_of(first / length);
    Tokens whole;
    int64_t assignments = 0, all_dropped = 0;
    for (int64_t bin = 0; bin < bins.n; ++bin) {
      Tokens of_bin;
      for (int64_t t = first + bins.bound(bin); t < first + std::min(length, bins.bound(bin + 1)); ++t) {
        if (padding != nullptr && padding[t]) continue;
        const auto experts = choices.of(t);
        const auto n_experts = static_cast<int64_t>(experts.size());
        for (const int64_t expert : experts) ++sums.load[static_cast<size_t>(expert)];
        ++sums.tokens;
        if (n_experts == 0) continue;
        int64_t n_dropped = 0;
        for (int64_t n = choices.begin(t); dropped != nullptr && n < choices.begin(t) + n_experts; ++n)
          n_dropped += dropped[n] ? 1 : 0;
        assignments += n_experts;
        all_dropped += n_dropped;
        ++of_bin.n;
        of_bin.any += n_dropped > 0 ? 1 : 0;
        of_bin.all += n_dropped == n_experts ? 1 : 0;
      }
      sums.bins[static_cast<size_t>(bin)].add(of_bin, cluster);
      whole.n += of_bin.n;
      whole.any += of_bin.any;
      whole.all += of_bin.all;
    }
    sums.whole.add(whole, cluster);
    sums.dropped.add(all_dropped, assignments, cluster);
  }
}

class DropAnalysis : public Analysis {
 public:
  explicit DropAnalysis(const AnalysisInput& input)
      : data_(input.data),
        layers_(input.layers),
        bins_(input.sequence_length),
        sums_(input.data.size(), std::vector<Drops>(input.layers.size())) {
    for (auto& by_layer : sums_) {
      for (size_t layer = 0; layer < layers_.size(); ++layer) {
        by_layer[layer].load.resize(static_cast<size_t>(layers_[layer].n_experts), 0);
        by_layer[layer].bins.resize(static_cast<size_t>(bins_.n));
      }
    }
  }

  void observe(const Observation& batch) override {
    n_tokens_ += counted_tokens(batch);
    const auto choices = choices_of(batch.routing, layers_, batch.input_ids.numel());
    at::parallel_for(0, static_cast<int64_t>(layers_.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer)
        add_layer(choices[layer], batch.routing[layer], batch, bins_, sums_.at(batch.data)[layer]);
    });
  }

  std::vector<NamedTable> tables() const override {
    Table by_position, by_data;
    by_position.columns = {{"layer", ""},
                           {"domain", ""},
                           {"position_from", "token"},
                           {"position_to", "token"},
                           {"any_dropped", "of tokens"},
                           {"all_dropped", "of tokens"},
                           {"tokens", "tokens"},
                           {"any_dropped_low", "of tokens"},
                           {"any_dropped_high", "of tokens"},
                           {"all_dropped_low", "of tokens"},
                           {"all_dropped_high", "of tokens"}};
    by_position.source =
        "arXiv 2402.01739, figure 12: share of the tokens with an expert, at positions position_from <= p < "
        "position_to of their sequence, of whose assignments at least one, and all, were over "
        "capacity. Without a capacity 0. ..._low, ..._high: 95 %, from the spread between blocks of windows. No chance "
        "level: "
        "which tokens are dropped is the capacity rule's choice (by position, by score, at random), "
        "and how many depends on the groups that share a capacity, which routing alone does not tell";
    by_data.columns = {{"layer", ""},
                       {"domain", ""},
                       {"dropped", "of assignments"},
                       {"any_dropped", "of tokens"},
                       {"all_dropped", "of tokens"},
                       {"without_expert", "of tokens"},
                       {"capacity_least", "tokens"},
                       {"capacity_most", "tokens"},
                       {"load_distance", "of assignments"},
                       {"tokens", "tokens"},
                       {"dropped_low", "of assignments"},
                       {"dropped_high", "of assignments"},
                       {"any_dropped_low", "of tokens"},
                       {"any_dropped_high", "of tokens"},
                       {"all_dropped_low", "of tokens"},
                       {"all_dropped_high", "of tokens"}};
    by_data.source =
        "dropped: share of the assignments over capacity; without_expert: share of the tokens that the router gave "
        "none; capacity: of an expert and group (0: none); "
        "load_distance: L1 / 2 between the loads before drops on this data set and on the first one, a measure of how "
        "far out of domain it is. Intervals and chance as for drop_by_position";
    by_position.tokens = by_data.tokens = n_tokens_;
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      for (size_t d = 0; d < data_.size(); ++d) {
        add_positions(layer, d, by_position);
        add_data(layer, d, by_data);
      }
    }
    return {{"drop_by_position", std::move(by_position)}, {"drops", std::move(by_data)}};
  }

  std::vector<std::string> notes() const override {
    bool is_dropless = n_tokens_ > 0;
    for (const auto& by_layer : sums_)
      for (const auto& sums : by_layer) is_dropless = is_dropless && sums.is_dropless();
    if (!is_dropless) return {};
    return {"drops: the model was run without a capacity, so nothing is dropped"};
  }

 private:
  void add_positions(size_t layer, size_t data, Table& table) const {
    const auto& sums = sums_[data][layer];
    for (int64_t bin = 0; bin < bins_.n && bins_.bound(bin) < sums.length; ++bin) {
      const auto& [any, all] = sums.bins[static_cast<size_t>(bin)];
      const auto any_interval = sums.interval(any), all_interval = sums.interval(all);
      table.add_row({layers_[layer].layer, data_[data].name, bins_.bound(bin),
                     std::min(sums.length, bins_.bound(bin + 1)), ratio(any.part, any.whole),
                     ratio(all.part, all.whole), any.whole, low_of(any_interval), high_of(any_interval),
                     low_of(all_interval), high_of(all_interval)});
    }
  }

  void add_data(size_t layer, size_t data, Table& table) const {
    const auto& sums = sums_[data][layer];
    const auto& [any, all] = sums.whole;
    const auto dropped_interval = sums.interval(sums.dropped), any_interval = sums.interval(any),
               all_interval = sums.interval(all);
    table.add_row({layers_[layer].layer, data_[data].name, ratio(sums.dropped.part, sums.dropped.whole),
                   ratio(any.part, any.whole), ratio(all.part, all.whole), ratio(sums.tokens - any.whole, sums.tokens),
                   sums.least_capacity, sums.most_capacity, number(share_distance(sums_[0][layer].load, sums.load)),
                   sums.tokens, low_of(dropped_interval), high_of(dropped_interval), low_of(any_interval),
                   high_of(any_interval), low_of(all_interval), high_of(all_interval)});
  }

  std::vector<DataSet> data_;
  std::vector<LayerShape> layers_;
  Bins bins_;
  std::vector<std::vector<Drops>> sums_;  // [data][layer]
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_drops_analysis(const AnalysisInput& input) {
  return std::make_unique<DropAnalysis>(input);
}

double drops_analysis_bytes(const AnalysisInput& input) {
  double bytes = 1024;
  for (const auto& layer : input.layers)
    bytes += static_cast<double>(input.data.size()) * (sizeof(Drops) + static_cast<double>(kBins) * sizeof(TokenSums) +
                                                       8.0 * static_cast<double>(layer.n_experts));
  return bytes;
}

}  // namespace evenkeel::analysis
