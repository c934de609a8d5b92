// Continual vocabulary specialization (arXiv 2503.05029, section 5): the map from token id to its favourite expert is
// fixed at the reference checkpoint, and the hit rate is the share of the id's occurrences that the model still sends
// there. One pass: the map comes from the reference's decisions on the same tokens, and hits are read from the model's
// counts of each id at the end, which is what a second pass over these tokens would give.
#include "analysis/analyses/cells.h"

namespace evenkeel::analysis {
namespace {

constexpr int64_t kMinimumCount = 10;

// Of the occurrences of ids, those that reach the favourite under the reference and under the model.
struct Hits {
  ShareSums before, after;           // ids are the clusters
  MeanSums mean_before, mean_after;  // of the share, over ids
  double at_load = 0;  // sum over ids of their occurrences times all tokens that have their favourite under the model
};

class ContinualVocabulary : public Analysis {
 public:
  explicit ContinualVocabulary(const AnalysisInput& input)
      : model_(input.model),
        reference_(input.reference),
        data_(input.data),
        layers_(input.layers),
        minimum_count_(input.minimum_count > 0 ? input.minimum_count : kMinimumCount),
        reader_(input) {
    if (reference_.empty()) return;
    for (const auto choices : {Choices::first, Choices::all}) {
      const auto from = want_all(reader_, input, keys_of(input, IdKind::input, choices, Side::reference)),
                 to = want_all(reader_, input, keys_of(input, IdKind::input, choices));
      for (size_t d = 0; d < data_.size(); ++d) pairs_.push_back({d, choices, from[d], to[d]});
    }
  }

  void observe(const Observation& batch) override {
    reader_.observe(batch);
    n_tokens_ += counted_tokens(batch);
  }

  std::vector<NamedTable> tables() const override {
    if (reference_.empty()) return {};
    Table table;
    table.columns = {{"layer", ""},
                     {"k", ""},
                     {"domain", ""},
                     {"from", ""},
                     {"to", ""},
                     {"hit_rate", "of occurrences"},
                     {"hit_rate_from", "of occurrences"},
                     {"chance", "of occurrences"},
                     {"mean", "of occurrences"},
                     {"mean_from", "of occurrences"},
                     {"ids", "ids"},
                     {"occurrences", "tokens"},
                     {"minimum_count", "tokens"},
                     {"hit_rate_low", "of occurrences"},
                     {"hit_rate_high", "of occurrences"},
                     {"mean_low", "of occurrences"},
                     {"mean_high", "of occurrences"},
                     {"load_chance", "of occurrences"}};
    table.tokens = n_tokens_;
    table.source =
        "arXiv 2503.05029 (continual vocabulary specialization): an id's favourite expert at `from`, on the same "
        "tokens; hit_rate: share of all occurrences where it is "
        "among the k chosen of `to`; mean: over ids; ..._from: the same under `from`. chance: k / E. load_chance: the "
        "hit rate "
        "where the choices of `to` do not depend on the id and have its load. ..._low, "
        "..._high: 95 %, from the spread over ids";
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      for (const auto& pair : pairs_) {
        if (pair.choices == Choices::all && layers_[layer].top_k == 1) continue;
        for (const int64_t minimum :
             minimum_count_ == 1 ? std::vector<int64_t>{1} : std::vector<int64_t>{1, minimum_count_})
          add_row(table, layer, pair, minimum);
      }
    }
    return {{"continual_vocabulary", std::move(table)}};
  }

  std::vector<std::string> notes() const override {
    if (reference_.empty()) return {"continual_vocabulary: needs a reference model"};
    return {};
  }

 private:
  struct Pair {
    size_t data;
    Choices choices;
    const IdTally *from, *to;
  };

  Hits hits(size_t layer, const Pair& pair, int64_t minimum) const {
    Hits out;
    const auto load = load_of(PooledTally({pair.to}), layer, layers_[layer].n_experts);
    std::vector<int64_t> from(load.size()), to(load.size());
    for (const int64_t id : pair.from->ids()) {
      const int64_t occurrences = pair.from->occurrences(id);
      if (occurrences < minimum) continue;
      std::fill(from.begin(), from.end(), 0);
      std::fill(to.begin(), to.end(), 0);
      pair.from->add_counts(layer, id, from);
      pair.to->add_counts(layer, id, to);
      const int64_t expert = favourite(from);
      if (expert < 0) continue;
      const int64_t before = from[static_cast<size_t>(expert)], after = to[static_cast<size_t>(expert)];
      out.at_load += static_cast<double>(occurrences) * static_cast<double>(load[static_cast<size_t>(expert)]);
      out.before.add(before, occurrences);
      out.after.add(after, occurrences);
      out.mean_before.add(static_cast<double>(before) / static_cast<double>(occurrences));
      out.mean_after.add(static_cast<double>(after) / static_cast<double>(occurrences));
    }
    return out;
  }

  void add_row(Table& table, size_t layer, const Pair& pair, int64_t minimum) const {
    const auto& [number_of_layer, n_experts, top_k] = layers_[layer];
    const auto sums = hits(layer, pair, minimum);
    const int64_t k = pair.choices == Choices::first ? 1 : top_k;
    const auto hit_rate = share_interval(sums.after), mean = mean_interval(sums.mean_after);
    const Json chance = pair.to->exactly_k(layer) ? ratio(k, n_experts) : Json();
    table.add_row(
        {number_of_layer, k, data_[pair.data].name, reference_, model_, ratio(sums.after.part, sums.after.whole),
         ratio(sums.before.part, sums.before.whole), chance, number(sums.mean_after.mean()),
         number(sums.mean_before.mean()), sums.after.n_clusters, sums.after.whole, minimum, low_of(hit_rate),
         high_of(hit_rate), low_of(mean), high_of(mean),
         number(sums.at_load / static_cast<double>(pair.to->n_tokens()) / static_cast<double>(sums.after.whole))});
  }

  std::string model_, reference_;
  std::vector<DataSet> data_;
  std::vector<LayerShape> layers_;
  int64_t minimum_count_;
  TallyReader reader_;
  std::vector<Pair> pairs_;
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_continual_vocabulary_analysis(const AnalysisInput& input) {
  return std::make_unique<ContinualVocabulary>(input);
}

double continual_vocabulary_analysis_bytes(const AnalysisInput& input) {
  double bytes = 1024;
  if (input.reference.empty()) return bytes;
  for (const auto choices : {Choices::first, Choices::all})
    for (const auto side : {Side::reference, Side::model})
      bytes += tally_bytes(input, keys_of(input, IdKind::input, choices, side));
  return bytes;
}

}  // namespace evenkeel::analysis
