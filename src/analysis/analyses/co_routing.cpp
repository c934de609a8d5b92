// Cross-layer co-routing (OLMoE, released analysis scripts): where the tokens of an expert go in the next MoE layer.
// Choices are aligned by rank: a token's first choice in one layer with its first in the next, and for `same_rank`
// second with second and so on.
#include <ATen/Parallel.h>

#include "analysis/analyses/cells.h"

namespace evenkeel::analysis {
namespace {

constexpr size_t kFlows = 20;  // of a pair of layers in results.json

enum Mode : size_t { first_choice, same_rank };
constexpr const char* kModes[] = {"first_choice", "same_rank"};

// Counts of one pair of layers and one mode.
struct Flows {
  size_t n_from = 0, n_to = 0;
  std::vector<int64_t> counts;  // [E_from, E_to]
};
struct Flow {
  size_t from, to;
  int64_t count;
  bool operator<(const Flow& other) const {
    return std::tuple(-count, from, to) < std::tuple(-other.count, other.from, other.to);
  }
};

void add_layers(const TokenChoices& from, const TokenChoices& to, const bool* padding, std::vector<Flows>& flows) {
  int64_t* first = flows[first_choice].counts.data();
  int64_t* same = flows[same_rank].counts.data();
  const auto width = static_cast<int64_t>(flows[first_choice].n_to);
  for (int64_t t = 0; t < from.n_tokens(); ++t) {
    if (padding != nullptr && padding[t]) continue;
    const auto here = from.of(t), next = to.of(t);
    const size_t n = std::min(here.size(), next.size());
    if (n > 0) ++first[here[0] * width + next[0]];
    for (size_t rank = 0; rank < n; ++rank) ++same[here[rank] * width + next[rank]];
  }
}

class CoRouting : public Analysis {
 public:
  explicit CoRouting(const AnalysisInput& input) : layers_(input.layers) {
    for (size_t i = 0; i + 1 < layers_.size(); ++i) {
      const auto from = static_cast<size_t>(layers_[i].n_experts), to = static_cast<size_t>(layers_[i + 1].n_experts);
      flows_.emplace_back(2, Flows{from, to, std::vector<int64_t>(from * to, 0)});
    }
  }

  void observe(const Observation& batch) override {
    n_tokens_ += counted_tokens(batch);
    const auto choices = choices_of(batch.routing, layers_, batch.input_ids.numel());
    at::parallel_for(0, static_cast<int64_t>(flows_.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto pair = static_cast<size_t>(begin); pair < static_cast<size_t>(end); ++pair)
        add_layers(choices[pair], choices[pair + 1], padding_of(batch), flows_[pair]);
    });
  }

  std::vector<NamedTable> tables() const override {
    Table largest;
    largest.columns = {{"layer_from", ""},
                       {"layer_to", ""},
                       {"mode", ""},
                       {"expert_from", ""},
                       {"expert_to", ""},
                       {"count", "assignments"},
                       {"probability", "of assignments"},
                       {"chance", "of assignments"},
                       {"tokens_from", "assignments"},
                       {"tokens_to", "assignments"},
                       {"total", "assignments"}};
    largest.tokens = n_tokens_;
    largest.source =
        "arXiv 2409.02060 (cross-layer co-routing of the released scripts): assignments of the same rank in "
        "neighbouring MoE layers, before drops; probability: of expert_to given "
        "expert_from; chance: the load of expert_to, if layers were independent. The 20 largest flows of a pair of "
        "layers; the rest: co_routing_all. "
        "tokens_from, tokens_to, total: all flows of expert_from, into expert_to, and of the pair of layers, these "
        "rows or not";
    Table all = largest;
    for (size_t pair = 0; pair < flows_.size(); ++pair)
      for (const auto mode : {first_choice, same_rank}) add_rows(pair, mode, largest, all);
    return {{"co_routing", std::move(largest)}, {"co_routing_all", std::move(all), /*csv_only=*/true}};
  }

  std::vector<std::string> notes() const override {
    if (layers_.size() > 1) return {};
    return {"co_routing: needs two MoE layers"};
  }

 private:
  void add_rows(size_t pair, Mode mode, Table& largest, Table& all) const {
    const auto& flows = flows_[pair][mode];
    std::vector<int64_t> from(flows.n_from, 0), to(flows.n_to, 0);
    std::vector<Flow> sorted;
    int64_t total = 0;
    for (size_t a = 0; a < flows.n_from; ++a)
      for (size_t b = 0; b < flows.n_to; ++b) {
        const int64_t count = flows.counts[a * flows.n_to + b];
        from[a] += count;
        to[b] += count;
        total += count;
        if (count > 0) sorted.push_back({a, b, count});
      }
    std::sort(sorted.begin(), sorted.end());
    for (size_t i = 0; i < sorted.size(); ++i) {
      const auto& [a, b, count] = sorted[i];
      all.add_row({layers_[pair].layer, layers_[pair + 1].layer, kModes[mode], static_cast<int64_t>(a),
                   static_cast<int64_t>(b), count, ratio(count, from[a]), ratio(to[b], total), from[a], to[b], total});
      if (i < kFlows) largest.rows.push_back(all.rows.back());
    }
  }

  std::vector<LayerShape> layers_;
  std::vector<std::vector<Flows>> flows_;  // [pair of layers][mode]
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_co_routing_analysis(const AnalysisInput& input) {
  return std::make_unique<CoRouting>(input);
}

double co_routing_analysis_bytes(const AnalysisInput& input) {
  double bytes = 1024;
  for (size_t i = 0; i + 1 < input.layers.size(); ++i)
    bytes += 16.0 * static_cast<double>(input.layers[i].n_experts) * static_cast<double>(input.layers[i + 1].n_experts);
  return bytes;
}

}  // namespace evenkeel::analysis
