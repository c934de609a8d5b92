// Token-id specialization (OpenMoE, arXiv 2402.01739, section 4: context-independent specialization): how unevenly the
// assignments of one token id spread over the experts, as a standard deviation, against uniform routing of as many
// occurrences.
#include <ATen/Parallel.h>

#include "analysis/analyses/cells.h"

namespace evenkeel::analysis {
namespace {

constexpr int64_t kMinimumCount = 129;  // the paper: more than 128 occurrences
constexpr size_t kFollowed = 10;        // ids, where none are chosen

class TokenSpecialization : public Analysis {
 public:
  explicit TokenSpecialization(const AnalysisInput& input)
      : data_(input.data),
        layers_(input.layers),
        texts_(input.token_texts),
        chosen_(input.chosen_ids),
        minimum_count_(input.minimum_count > 0 ? input.minimum_count : kMinimumCount),
        reader_(input) {
    tallies_ = want_all(reader_, input, keys_of(input, IdKind::input, Choices::all));
  }

  void observe(const Observation& batch) override {
    reader_.observe(batch);
    n_tokens_ += counted_tokens(batch);
  }

  std::vector<NamedTable> tables() const override {
    Table means = token_specialization_table(), ids, shares;
    ids.columns = {{"layer", ""},
                   {"domain", ""},
                   {"id", ""},
                   {"text", ""},
                   {"occurrences", "tokens"},
                   {"std", "of assignments"},
                   {"baseline_std", "of assignments"},
                   {"expert", ""},
                   {"max_share", "of assignments"},
                   {"top_2_share", "of assignments"},
                   {"chance_max_share", "of assignments"},
                   {"load_std", "of assignments"}};
    ids.source =
        "the same by id (chosen, else the 10 most frequent of the data set); expert: its favourite; shares of its "
        "assignments. chance_max_share: the mean max_share under uniform random routing of as many "
        "occurrences; load_std: baseline_std at the layer's own load on the data set";
    shares.columns = {{"layer", ""}, {"domain", ""}, {"id", ""}, {"expert", ""}, {"share", "of assignments"}};
    shares.source = "arXiv 2402.01739, figure 10: share of the id's assignments";
    means.tokens = ids.tokens = shares.tokens = n_tokens_;
    shares.chance = uniform_share(layers_);
    for (size_t d = 0; d < data_.size(); ++d) {
      UniformLevels levels(tallies_[d]->most_occurrences());
      add_means(d, levels, means);
      const auto followed = followed_ids(*tallies_[d], chosen_, kFollowed);
      std::vector<std::vector<int64_t>> loads;
      for (size_t layer = 0; layer < layers_.size(); ++layer)
        loads.push_back(load_of(PooledTally({tallies_[d]}), layer, layers_[layer].n_experts));
      for (const int64_t id : followed)
        for (size_t layer = 0; layer < layers_.size(); ++layer)
          add_id({d, layer, id, loads[layer]}, levels, ids, shares);
    }
    return {{"token_specialization", std::move(means)},
            {"token_id_specialization", std::move(ids)},
            {"token_id_shares", std::move(shares), /*csv_only=*/true}};
  }

  std::vector<std::string> notes() const override {
    std::vector<std::string> notes;
    note_unknown_chance("token_specialization", PooledTally(tallies_), layers_, notes);
    for (size_t d = 0; d < data_.size(); ++d)
      note_missing_ids("token_id_specialization", *tallies_[d], data_[d].name, chosen_, notes);
    return notes;
  }

 private:
  struct Place {
    size_t data, layer;
    int64_t id;
    const std::vector<int64_t>& load;  // [E] of the layer on the data set
  };

  void add_means(size_t data, UniformLevels& levels, Table& table) const {
    const auto& tally = *tallies_[data];
    std::vector<IdSummary> summaries;
    for (size_t layer = 0; layer < layers_.size(); ++layer)
      summaries.emplace_back(tally.exactly_k(layer) ? levels.of(layers_[layer].n_experts, layers_[layer].top_k)
                                                    : nullptr);
    at::parallel_for(0, static_cast<int64_t>(layers_.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer) {
        std::vector<int64_t> counts(static_cast<size_t>(layers_[layer].n_experts));
        if (tally.n_tokens() > 0 && tally.exactly_k(layer))
          summaries[layer].compare_with(load_of(PooledTally({&tally}), layer, layers_[layer].n_experts),
                                        layers_[layer].top_k);
        for (const int64_t id : tally.ids()) {
          if (tally.occurrences(id) < std::max<int64_t>(minimum_count_, 1)) continue;
          std::fill(counts.begin(), counts.end(), 0);
          tally.add_counts(layer, id, counts);
          summaries[layer].add(counts, tally.occurrences(id));
        }
      }
    });
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      const auto& summary = summaries[layer];
      table.add_row({layers_[layer].layer, data_[data].name, summary.ids(), summary.occurrences(), minimum_count_,
                     number(summary.mean_std()), number(summary.baseline_std()), number(summary.chance_std()),
                     number(summary.load_std())});
    }
  }

  void add_id(const Place& place, UniformLevels& levels, Table& ids, Table& shares) const {
    const auto& [data, layer, id, load] = place;
    const auto& [number_of_layer, n_experts, top_k] = layers_[layer];
    const auto& tally = *tallies_[data];
    std::vector<int64_t> counts(static_cast<size_t>(n_experts), 0);
    tally.add_counts(layer, id, counts);
    const int64_t sum = std::accumulate(counts.begin(), counts.end(), int64_t{0}), expert = favourite(counts);
    for (size_t e = 0; e < counts.size(); ++e)
      shares.add_row({number_of_layer, data_[data].name, id, static_cast<int64_t>(e), ratio(counts[e], sum)});
    Json baseline, chance, load_std;
    if (tally.exactly_k(layer)) {
      baseline = uniform_share_std(tally.occurrences(id), n_experts, top_k);
      chance = levels.of(n_experts, top_k)->mean_max_share(tally.occurrences(id)) / static_cast<double>(top_k);
      load_std = load_share_std(tally.occurrences(id), top_k, load);
    }
    const Json std = sum > 0 ? Json(share_std(counts)) : Json();
    std::sort(counts.begin(), counts.end(), std::greater<>());
    ids.add_row({number_of_layer, data_[data].name, id, text_of(texts_, id), tally.occurrences(id), std, baseline,
                 expert < 0 ? Json() : Json(expert), ratio(counts[0], sum),
                 ratio(counts[0] + (counts.size() > 1 ? counts[1] : 0), sum), chance, load_std});
  }

  std::vector<DataSet> data_;
  std::vector<LayerShape> layers_;
  std::vector<std::string> texts_;
  std::vector<int64_t> chosen_;
  int64_t minimum_count_;
  TallyReader reader_;
  std::vector<const IdTally*> tallies_;  // [data]
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_token_specialization_analysis(const AnalysisInput& input) {
  return std::make_unique<TokenSpecialization>(input);
}

double token_specialization_analysis_bytes(const AnalysisInput& input) {
  return 1024 + tally_bytes(input, keys_of(input, IdKind::input, Choices::all));
}

}  // namespace evenkeel::analysis
