// Dropped tokens (OpenMoE, arXiv 2402.01739, section 4: drop towards the end): which share of the tokens at a position lost an expert to
// its capacity, and how far a data set's load is from that of the first one, which is what fills the experts.
#include <ATen/Parallel.h>

#include "analysis/analyses/cells.h"

namespace evenkeel::analysis {
namespace {

constexpr int64_t kBins = 16;  // of positions

struct Position {
  int64_t tokens = 0;  // with at least one expert
  int64_t any = 0;     // ... of which at least one is dropped
  int64_t all = 0;     // ... of which all are dropped
};
// Sums of one layer and data set.
struct Drops {
  std::vector<Position> positions;  // [S]
  std::vector<int64_t> load;        // [E] assignments before drops
  int64_t tokens = 0, assignments = 0, dropped = 0;
  int64_t least_capacity = 0, most_capacity = 0;  // of an expert and group; 0 = dropless
  bool is_seen = false;
};

void add_layer(const TokenChoices& choices, const moe::RoutingDecision& decision, const Observation& batch, Drops& sums) {
  const int64_t length = batch.input_ids.size(1);
  const bool* padding = padding_of(batch);
  const bool* dropped = decision.dropped.defined() ? decision.dropped.const_data_ptr<bool>() : nullptr;
  if (static_cast<int64_t>(sums.positions.size()) < length) sums.positions.resize(static_cast<size_t>(length));
  sums.least_capacity = sums.is_seen ? std::min(sums.least_capacity, decision.capacity) : decision.capacity;
  sums.most_capacity = std::max(sums.most_capacity, decision.capacity);
  sums.is_seen = true;
  for (int64_t t = 0; t < choices.n_tokens(); ++t) {
    if (padding != nullptr && padding[t]) continue;
    const auto experts = choices.of(t);
    const auto n_experts = static_cast<int64_t>(experts.size());
    for (const int64_t expert : experts) ++sums.load[static_cast<size_t>(expert)];
    ++sums.tokens;
    sums.assignments += n_experts;
    if (n_experts == 0) continue;
    int64_t n_dropped = 0;
    for (int64_t n = choices.begin(t); dropped != nullptr && n < choices.begin(t) + n_experts; ++n) n_dropped += dropped[n] ? 1 : 0;
    sums.dropped += n_dropped;
    auto& position = sums.positions[static_cast<size_t>(t % length)];
    ++position.tokens;
    position.any += n_dropped > 0 ? 1 : 0;
    position.all += n_dropped == n_experts ? 1 : 0;
  }
}

class DropAnalysis : public Analysis {
 public:
  explicit DropAnalysis(const AnalysisInput& input) : data_(input.data), layers_(input.layers), sums_(input.data.size(), std::vector<Drops>(input.layers.size())) {
    for (auto& by_layer : sums_)
      for (size_t layer = 0; layer < layers_.size(); ++layer) by_layer[layer].load.resize(static_cast<size_t>(layers_[layer].n_experts), 0);
  }

  void observe(const Observation& batch) override {
    n_tokens_ += counted_tokens(batch);
    const auto choices = choices_of(batch.routing, layers_, batch.input_ids.numel());
    at::parallel_for(0, static_cast<int64_t>(layers_.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer) add_layer(choices[layer], batch.routing[layer], batch, sums_.at(batch.data)[layer]);
    });
  }

  std::vector<NamedTable> tables() const override {
    Table by_position, by_data;
    by_position.columns = {{"layer", ""}, {"domain", ""}, {"position_from", "token"}, {"position_to", "token"}, {"any_dropped", "of tokens"}, {"all_dropped", "of tokens"}, {"tokens", "tokens"}};
    by_position.source =
        "arXiv 2402.01739, figure 12: share of the tokens with an expert, at positions position_from <= p < position_to of their sequence, of whose assignments at least one, and all, were over "
        "capacity. Without a capacity 0";
    by_data.columns = {{"layer", ""}, {"domain", ""}, {"dropped", "of assignments"}, {"any_dropped", "of tokens"}, {"all_dropped", "of tokens"}, {"without_expert", "of tokens"}, {"capacity_least", "tokens"}, {"capacity_most", "tokens"}, {"load_distance", "of assignments"}, {"tokens", "tokens"}};
    by_data.source =
        "dropped: share of the assignments over capacity; without_expert: share of the tokens that the router gave none; capacity: of an expert and group (0: none); "
        "load_distance: L1 / 2 between the loads before drops on this data set and on the first one, a measure of how far out of domain it is";
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
      for (const auto& sums : by_layer) is_dropless = is_dropless && sums.most_capacity == 0 && sums.dropped == 0;
    if (!is_dropless) return {};
    return {"drops: the model was run without a capacity, so nothing is dropped"};
  }

 private:
  void add_positions(size_t layer, size_t data, Table& table) const {
    const auto& positions = sums_[data][layer].positions;
    const auto length = static_cast<int64_t>(positions.size()), n_bins = std::min(kBins, length);
    for (int64_t bin = 0; bin < n_bins; ++bin) {
      const int64_t from = bin * length / n_bins, to = (bin + 1) * length / n_bins;
      Position sum;
      for (int64_t p = from; p < to; ++p) {
        sum.tokens += positions[static_cast<size_t>(p)].tokens;
        sum.any += positions[static_cast<size_t>(p)].any;
        sum.all += positions[static_cast<size_t>(p)].all;
      }
      table.add_row({layers_[layer].layer, data_[data].name, from, to, ratio(sum.any, sum.tokens), ratio(sum.all, sum.tokens), sum.tokens});
    }
  }

  void add_data(size_t layer, size_t data, Table& table) const {
    const auto& sums = sums_[data][layer];
    Position all;
    for (const auto& position : sums.positions) {
      all.tokens += position.tokens;
      all.any += position.any;
      all.all += position.all;
    }
    table.add_row({layers_[layer].layer, data_[data].name, ratio(sums.dropped, sums.assignments), ratio(all.any, all.tokens), ratio(all.all, all.tokens), ratio(sums.tokens - all.tokens, sums.tokens),
                   sums.least_capacity, sums.most_capacity, number(1 - share_overlap(sums_[0][layer].load, sums.load)), sums.tokens});
  }

  std::vector<DataSet> data_;
  std::vector<LayerShape> layers_;
  std::vector<std::vector<Drops>> sums_;  // [data][layer]
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_drops_analysis(const AnalysisInput& input) { return std::make_unique<DropAnalysis>(input); }

double drops_analysis_bytes(const AnalysisInput& input) {
  double bytes = 1024;
  for (const auto& layer : input.layers)
    bytes += static_cast<double>(input.data.size()) * (sizeof(Drops) + static_cast<double>(input.sequence_length) * sizeof(Position) + 8.0 * static_cast<double>(layer.n_experts));
  return bytes;
}

}  // namespace evenkeel::analysis
