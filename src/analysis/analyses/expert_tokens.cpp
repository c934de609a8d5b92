// The tokens of each expert (OLMoE, arXiv 2409.02060, table 8 and its per-expert figures; OpenMoE's clusters of tokens): which ids go
// to an expert first, as a share of the id's occurrences, and how specialized the ids are whose favourite it is.
#include <ATen/Parallel.h>

#include "analysis/analyses/top_ids.h"

namespace evenkeel::analysis {
namespace {

constexpr int64_t kMinimumCount = 10;  // as in OLMoE's tables
constexpr size_t kShown = 10, kListed = 15;

constexpr IdKind kKinds[] = {IdKind::input, IdKind::predicted, IdKind::target};

struct Expert {
  std::vector<TopId> top;  // sorted, at most kListed
  int64_t ids = 0;         // whose favourite it is
  double share = 0;        // sum over them of max_share
};

class ExpertTokens : public Analysis {
 public:
  explicit ExpertTokens(const AnalysisInput& input)
      : layers_(input.layers), texts_(input.token_texts), minimum_count_(input.minimum_count > 0 ? input.minimum_count : kMinimumCount), reader_(input) {
    for (const auto kind : kKinds) tallies_.emplace_back(want_all(reader_, input, keys_of(input, kind, Choices::first)));
  }

  void observe(const Observation& batch) override {
    reader_.observe(batch);
    n_tokens_ += counted_tokens(batch);
  }

  std::vector<NamedTable> tables() const override {
    Table shown, all, by_expert;
    shown.columns = {{"layer", ""}, {"expert", ""}, {"id_kind", ""}, {"rank", ""}, {"id", ""}, {"text", ""}, {"count", "tokens"}, {"share", "of occurrences"}, {"occurrences", "tokens"}, {"minimum_count", "tokens"}};
    by_expert.columns = {{"layer", ""}, {"expert", ""}, {"id_kind", ""}, {"ids", "ids"}, {"mean", "of occurrences"}, {"minimum_count", "tokens"}};
    shown.source =
        "arXiv 2409.02060, table 8: ids by the share of their occurrences whose first choice is the expert (uniform: 1 / E); all data sets together; ids with at "
        "least minimum_count occurrences";
    by_expert.source =
        "arXiv 2409.02060, eq. 8 by expert: mean of the largest share (first choices, uniform: 1 / E) over the ids whose favourite is the expert; ids with at "
        "least minimum_count occurrences";
    shown.tokens = by_expert.tokens = n_tokens_;
    shown.chance = by_expert.chance = uniform_share(layers_);
    all = shown;
    for (size_t kind = 0; kind < tallies_.size(); ++kind) {
      std::vector<std::vector<Expert>> of_layers(layers_.size());
      at::parallel_for(0, static_cast<int64_t>(layers_.size()), 1, [&](int64_t begin, int64_t end) {
        for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer) of_layers[layer] = experts_of(tallies_[kind], layer);
      });
      for (size_t layer = 0; layer < layers_.size(); ++layer) {
        const auto& experts = of_layers[layer];
        const auto number_of_layer = layers_[layer].layer;
        for (size_t e = 0; e < experts.size(); ++e) {
          for (size_t rank = 0; rank < experts[e].top.size(); ++rank) {
            const auto& [id, count, occurrences] = experts[e].top[rank];
            all.add_row({number_of_layer, static_cast<int64_t>(e), name_of(kKinds[kind]), static_cast<int64_t>(rank), id, text_of(texts_, id), count, ratio(count, occurrences), occurrences, minimum_count_});
            if (kKinds[kind] == IdKind::input && rank < kShown) shown.rows.push_back(all.rows.back());
          }
          if (experts[e].ids > 0)
            by_expert.add_row({number_of_layer, static_cast<int64_t>(e), name_of(kKinds[kind]), experts[e].ids, experts[e].share / static_cast<double>(experts[e].ids), minimum_count_});
        }
      }
    }
    return {{"expert_tokens", std::move(shown)}, {"expert_tokens_all", std::move(all), /*csv_only=*/true}, {"expert_vocabulary", std::move(by_expert)}};
  }

 private:
  std::vector<Expert> experts_of(const PooledTally& tally, size_t layer) const {
    std::vector<Expert> experts(static_cast<size_t>(layers_[layer].n_experts));
    for_ids(tally, layer, layers_[layer].n_experts, minimum_count_, [&](int64_t id, int64_t occurrences, const std::vector<int64_t>& counts) {
      for (size_t e = 0; e < experts.size(); ++e)
        if (counts[e] > 0) insert_top(experts[e].top, {id, counts[e], occurrences}, kListed);
      const int64_t best = favourite(counts);
      if (best < 0) return;
      ++experts[static_cast<size_t>(best)].ids;
      experts[static_cast<size_t>(best)].share += max_share(counts, occurrences);
    });
    return experts;
  }

  std::vector<LayerShape> layers_;
  std::vector<std::string> texts_;
  int64_t minimum_count_;
  TallyReader reader_;
  std::vector<PooledTally> tallies_;  // as kKinds
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_expert_tokens_analysis(const AnalysisInput& input) { return std::make_unique<ExpertTokens>(input); }

double expert_tokens_analysis_bytes(const AnalysisInput& input) {
  double bytes = 1024;
  for (const auto kind : kKinds) bytes += tally_bytes(input, keys_of(input, kind, Choices::first));
  return bytes;
}

}  // namespace evenkeel::analysis
