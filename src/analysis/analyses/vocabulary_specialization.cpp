// Vocabulary specialization (OLMoE, arXiv 2409.02060, eq. 8): how much of an id's occurrences its favourite expert
// gets. Ids: the input token, the predicted next token, the true next token. As in the released script the mean is over
// ids, not over occurrences, and an id seen once scores 1: hence a row without a filter and one with, and the chance
// for the same counts.
#include <ATen/Parallel.h>

#include "analysis/analyses/cells.h"

namespace evenkeel::analysis {
namespace {

constexpr int64_t kMinimumCount = 10;  // of the script's tables of experts

constexpr IdKind kKinds[] = {IdKind::input, IdKind::predicted, IdKind::target};

std::vector<Choices> wanted_choices(const AnalysisInput& input) {
  const bool only_first =
      std::all_of(input.layers.begin(), input.layers.end(), [](const LayerShape& layer) { return layer.top_k == 1; });
  return only_first ? std::vector<Choices>{Choices::first} : std::vector<Choices>{Choices::first, Choices::all};
}

class VocabularySpecialization : public Analysis {
 public:
  explicit VocabularySpecialization(const AnalysisInput& input)
      : layers_(input.layers),
        minimum_count_(input.minimum_count > 0 ? input.minimum_count : kMinimumCount),
        reader_(input) {
    for (const auto kind : kKinds)
      for (const auto choices : wanted_choices(input))
        columns_.push_back(
            {name_of(kind), choices, PooledTally(want_all(reader_, input, keys_of(input, kind, choices)))});
  }

  void observe(const Observation& batch) override {
    reader_.observe(batch);
    n_tokens_ += counted_tokens(batch);
    has_predictions_ = has_predictions_ || batch.predicted_ids.defined();
  }

  std::vector<NamedTable> tables() const override {
    Table table = vocabulary_specialization_table();
    table.tokens = n_tokens_;
    int64_t most = 0;
    for (const auto& column : columns_) most = std::max(most, column.tally.most_occurrences());
    UniformLevels levels(most);
    for (const auto& column : columns_) add_rows(column, levels, table);
    return {{"vocabulary_specialization", std::move(table)}};
  }

  std::vector<std::string> notes() const override {
    std::vector<std::string> notes;
    if (n_tokens_ > 0 && !has_predictions_)
      notes.emplace_back("vocabulary_specialization: no rows for predicted ids; needs the model's predictions");
    for (const auto& column : columns_)  // of all choices where there are more than one
      if (column.name == name_of(IdKind::input) && column.choices == columns_.back().choices)
        note_unknown_chance("vocabulary_specialization", column.tally, layers_, notes);
    return notes;
  }

 private:
  struct Column {
    std::string name;
    Choices choices;
    PooledTally tally;
  };
  int64_t k_of(const Column& column, size_t layer) const {
    return column.choices == Choices::first ? 1 : layers_[layer].top_k;
  }
  std::vector<int64_t> minimum_counts() const {
    return minimum_count_ == 1 ? std::vector<int64_t>{1} : std::vector<int64_t>{1, minimum_count_};
  }

  void add_rows(const Column& column, UniformLevels& levels, Table& table) const {
    if (column.tally.n_tokens() == 0) return;
    std::vector<std::vector<IdSummary>> summaries;                // [layer][minimum count]
    std::vector<std::vector<Json>> load_chances(layers_.size());  // the same
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      const auto* uniform =
          column.tally.exactly_k(layer) ? levels.of(layers_[layer].n_experts, k_of(column, layer)) : nullptr;
      summaries.emplace_back(minimum_counts().size(), IdSummary(uniform));
    }
    at::parallel_for(0, static_cast<int64_t>(layers_.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer) {
        summarize(column.tally, layer, summaries[layer]);
        load_chances[layer] = load_chances_of(column, layer);
      }
    });
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      for (size_t i = 0; i < summaries[layer].size(); ++i) {
        const auto& summary = summaries[layer][i];
        if (column.choices == Choices::all && layers_[layer].top_k == 1) continue;  // that of the first choices
        table.add_row({layers_[layer].layer, k_of(column, layer), column.name, number(summary.mean_max_share()),
                       minimum_counts()[i], number(summary.chance_max_share()),
                       number(summary.max_share_by_occurrence()), summary.ids(), summary.occurrences(),
                       low_of(summary.max_share_interval()), high_of(summary.max_share_interval()),
                       load_chances[layer][i]});
      }
    }
  }

  // For each minimum count; null where more than first choices are counted or a token may have none.
  std::vector<Json> load_chances_of(const Column& column, size_t layer) const {
    std::vector<Json> out(minimum_counts().size());
    if (k_of(column, layer) != 1 || !column.tally.exactly_k(layer)) return out;
    LoadFavourite levels(load_of(column.tally, layer, layers_[layer].n_experts));
    for (size_t i = 0; i < out.size(); ++i) {
      std::vector<int64_t> occurrences;
      for (const int64_t id : column.tally.ids())
        if (column.tally.occurrences(id) >= minimum_counts()[i]) occurrences.push_back(column.tally.occurrences(id));
      out[i] = load_chance(occurrences, levels);
    }
    return out;
  }

  void summarize(const PooledTally& tally, size_t layer, std::vector<IdSummary>& summaries) const {
    std::vector<int64_t> counts(static_cast<size_t>(layers_[layer].n_experts));
    for (const int64_t id : tally.ids()) {
      const int64_t occurrences = tally.occurrences(id);
      tally.counts(layer, id, counts);
      for (size_t i = 0; i < summaries.size(); ++i)
        if (occurrences >= minimum_counts()[i]) summaries[i].add(counts, occurrences);
    }
  }

  std::vector<LayerShape> layers_;
  int64_t minimum_count_;
  TallyReader reader_;
  std::vector<Column> columns_;
  bool has_predictions_ = false;
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_vocabulary_specialization_analysis(const AnalysisInput& input) {
  return std::make_unique<VocabularySpecialization>(input);
}

double vocabulary_specialization_analysis_bytes(const AnalysisInput& input) {
  double bytes = 1024;
  for (const auto kind : kKinds)
    for (const auto choices : wanted_choices(input)) bytes += tally_bytes(input, keys_of(input, kind, choices));
  return bytes;
}

}  // namespace evenkeel::analysis
