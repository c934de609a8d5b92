// The tokens of each expert (OLMoE, arXiv 2409.02060, table 8 and its per-expert figures; OpenMoE's clusters of
// tokens): which ids go to an expert first, as a share of the id's occurrences, and how specialized the ids are whose
// favourite it is.
#include <iterator>

#include <ATen/Parallel.h>

#include "analysis/analyses/top_ids.h"

namespace evenkeel::analysis {
namespace {

constexpr int64_t kMinimumCount = 10;  // as in OLMoE's tables
constexpr int64_t kShown = 10;
constexpr size_t kListed = 15;

constexpr IdKind kKinds[] = {IdKind::input, IdKind::predicted, IdKind::target};

struct Expert {
  std::vector<TopId> top;  // sorted, at most kListed
  MeanSums share;          // max_share of the ids whose favourite it is
  double chance = 0;       // sum of its mean under uniform routing; NaN where that is not known
};

Table tokens_table() {
  Table table;
  table.columns = {{"layer", ""},
                   {"expert", ""},
                   {"id_kind", ""},
                   {"rank", ""},
                   {"id", ""},
                   {"text", ""},
                   {"count", "tokens"},
                   {"share", "of occurrences"},
                   {"occurrences", "tokens"},
                   {"minimum_count", "tokens"},
                   {"favourite", ""},
                   {"chance", "of occurrences"}};
  table.source =
      "arXiv 2409.02060, table 8: ids by the share of their occurrences whose first choice is the expert; all data "
      "sets together; ids with at least "
      "minimum_count occurrences. favourite: 1 where no expert has more of the id. chance: the mean share of an id's "
      "favourite under uniform random routing of as many "
      "occurrences; the lists are selected, so that the best of many ids stand above it by chance too";
  return table;
}

Table vocabulary_table() {
  Table table;
  table.columns = {{"layer", ""},
                   {"expert", ""},
                   {"id_kind", ""},
                   {"ids", "ids"},
                   {"mean", "of occurrences"},
                   {"minimum_count", "tokens"},
                   {"chance", "of occurrences"},
                   {"mean_low", "of occurrences"},
                   {"mean_high", "of occurrences"}};
  table.source =
      "arXiv 2409.02060, eq. 8 by expert: mean of the largest share (first choices) over the ids whose favourite is "
      "the expert; ids with at least "
      "minimum_count occurrences. chance: the same mean under uniform random routing of as many occurrences of each, "
      "1 / E in the limit. mean_low, mean_high: 95 %, from the spread over the ids";
  return table;
}

class ExpertTokens : public Analysis {
 public:
  explicit ExpertTokens(const AnalysisInput& input)
      : layers_(input.layers),
        texts_(input.token_texts),
        minimum_count_(input.minimum_count > 0 ? input.minimum_count : kMinimumCount),
        reader_(input) {
    for (const auto kind : kKinds)
      tallies_.emplace_back(want_all(reader_, input, keys_of(input, kind, Choices::first)));
  }

  void observe(const Observation& batch) override {
    reader_.observe(batch);
    n_tokens_ += counted_tokens(batch);
  }

  std::vector<NamedTable> tables() const override {
    Table shown = tokens_table(), all, by_expert = vocabulary_table();
    shown.tokens = by_expert.tokens = n_tokens_;
    all = shown;
    int64_t most = 0;
    for (const auto& tally : tallies_) most = std::max(most, tally.most_occurrences());
    UniformLevels levels(most);
    for (size_t kind = 0; kind < tallies_.size(); ++kind) {
      std::vector<std::vector<Expert>> of_layers(layers_.size());
      std::vector<const UniformRouting*> uniform;
      for (size_t layer = 0; layer < layers_.size(); ++layer)
        uniform.push_back(tallies_[kind].exactly_k(layer) ? levels.of(layers_[layer].n_experts, 1) : nullptr);
      at::parallel_for(0, static_cast<int64_t>(layers_.size()), 1, [&](int64_t begin, int64_t end) {
        for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer)
          of_layers[layer] = experts_of(tallies_[kind], layer, uniform[layer]);
      });
      for (size_t layer = 0; layer < layers_.size(); ++layer) {
        for (size_t e = 0; e < of_layers[layer].size(); ++e) {
          const auto& expert = of_layers[layer][e];
          const auto interval = mean_interval(expert.share);
          add_tokens(layer, e, kKinds[kind], expert, uniform[layer], all);
          if (expert.share.n > 0)
            by_expert.add_row({layers_[layer].layer, static_cast<int64_t>(e), name_of(kKinds[kind]), expert.share.n,
                               expert.share.mean(), minimum_count_,
                               number(expert.chance / static_cast<double>(expert.share.n)), low_of(interval),
                               high_of(interval)});
        }
      }
      if (kKinds[kind] != IdKind::input) continue;
      const size_t rank = all.column("rank");
      std::copy_if(all.rows.begin(), all.rows.end(), std::back_inserter(shown.rows),
                   [&](const auto& row) { return row[rank].as_int() < kShown; });
    }
    return {{"expert_tokens", std::move(shown)},
            {"expert_tokens_all", std::move(all), /*csv_only=*/true},
            {"expert_vocabulary", std::move(by_expert)}};
  }

  std::vector<std::string> notes() const override {
    std::vector<std::string> notes;
    note_unknown_chance("expert_tokens", tallies_[0], layers_,
                        notes);  // of the input ids; the same routers gave the others
    return notes;
  }

 private:
  void add_tokens(size_t layer, size_t e, IdKind kind, const Expert& expert, const UniformRouting* uniform,
                  Table& table) const {
    for (size_t rank = 0; rank < expert.top.size(); ++rank) {
      const auto& [id, count, occurrences, is_favourite] = expert.top[rank];
      table.add_row({layers_[layer].layer, static_cast<int64_t>(e), name_of(kind), static_cast<int64_t>(rank), id,
                     text_of(texts_, id), count, ratio(count, occurrences), occurrences, minimum_count_,
                     is_favourite ? 1 : 0, uniform != nullptr ? Json(uniform->mean_max_share(occurrences)) : Json()});
    }
  }

  std::vector<Expert> experts_of(const PooledTally& tally, size_t layer, const UniformRouting* uniform) const {
    std::vector<Expert> experts(static_cast<size_t>(layers_[layer].n_experts));
    for_ids(tally, layer, layers_[layer].n_experts, minimum_count_,
            [&](int64_t id, int64_t occurrences, const std::vector<int64_t>& counts) {
              const int64_t best = favourite(counts);
              if (best < 0) return;
              for (size_t e = 0; e < experts.size(); ++e)
                if (counts[e] > 0)
                  insert_top(experts[e].top, {id, counts[e], occurrences, static_cast<int64_t>(e) == best}, kListed);
              experts[static_cast<size_t>(best)].share.add(max_share(counts, occurrences));
              experts[static_cast<size_t>(best)].chance +=
                  uniform != nullptr ? uniform->mean_max_share(occurrences) : std::nan("");
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

std::unique_ptr<Analysis> make_expert_tokens_analysis(const AnalysisInput& input) {
  return std::make_unique<ExpertTokens>(input);
}

double expert_tokens_analysis_bytes(const AnalysisInput& input) {
  double bytes = 1024;
  for (const auto kind : kKinds) bytes += tally_bytes(input, keys_of(input, kind, Choices::first));
  return bytes;
}

}  // namespace evenkeel::analysis
