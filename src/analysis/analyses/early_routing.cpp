// Early routing learning (OpenMoE, arXiv 2402.01739, section 4): how far the experts of single token ids were fixed at
// the reference checkpoint. For each followed id the distribution over experts under the model and under the reference.
#include "analysis/analyses/cells.h"

namespace evenkeel::analysis {
namespace {

constexpr size_t kFollowed = 10;  // ids, where none are chosen

class EarlyRouting : public Analysis {
 public:
  explicit EarlyRouting(const AnalysisInput& input)
      : model_(input.model),
        reference_(input.reference),
        reference_step_(input.reference_step),
        data_(input.data),
        layers_(input.layers),
        texts_(input.token_texts),
        chosen_(input.chosen_ids),
        reader_(input) {
    if (reference_.empty()) return;
    from_ = want_all(reader_, input, keys_of(input, IdKind::input, Choices::all, Side::reference));
    to_ = want_all(reader_, input, keys_of(input, IdKind::input, Choices::all));
  }

  void observe(const Observation& batch) override {
    reader_.observe(batch);
    n_tokens_ += counted_tokens(batch);
  }

  std::vector<NamedTable> tables() const override {
    if (reference_.empty()) return {};
    Table table;
    table.columns = {{"layer", ""},
                     {"domain", ""},
                     {"from", ""},
                     {"to", ""},
                     {"id", ""},
                     {"text", ""},
                     {"occurrences", "tokens"},
                     {"overlap", ""},
                     {"cosine", ""},
                     {"chance_overlap", ""},
                     {"expert", ""},
                     {"share_from", "of assignments"},
                     {"share_to", "of assignments"},
                     {"chance_cosine", ""},
                     {"from_step", "steps"},
                     {"load_overlap", ""}};
    table.tokens = n_tokens_;
    table.source =
        "arXiv 2402.01739, section 4 (early routing learning): distribution of an id's assignments over experts at two "
        "checkpoints, overlap = 1 - L1 / 2; "
        "expert: the favourite at `from`. Ids: those chosen, else the 10 most frequent of the data set. "
        "chance_overlap, chance_cosine: "
        "two independent uniform routings of as many occurrences. load_overlap: two independent routings that do not "
        "depend on the id, each at its own load. from_step: the optimizer step of `from`";
    for (size_t d = 0; d < to_.size(); ++d) {
      const auto ids = followed_ids(*to_[d], chosen_, kFollowed);
      int64_t most = 0;
      for (const int64_t id : ids) most = std::max(most, to_[d]->occurrences(id));
      UniformLevels levels(most);
      std::vector<Loads> loads;
      for (size_t layer = 0; layer < layers_.size(); ++layer)
        loads.push_back({load_of(PooledTally({from_[d]}), layer, layers_[layer].n_experts),
                         load_of(PooledTally({to_[d]}), layer, layers_[layer].n_experts)});
      for (const int64_t id : ids)
        for (size_t layer = 0; layer < layers_.size(); ++layer) add_row({d, layer, id, loads[layer]}, levels, table);
    }
    return {{"early_routing", std::move(table)}};
  }

  std::vector<std::string> notes() const override {
    if (reference_.empty()) return {"early_routing: needs a reference model"};
    std::vector<std::string> notes;
    for (size_t d = 0; d < to_.size(); ++d) note_missing_ids("early_routing", *to_[d], data_[d].name, chosen_, notes);
    return notes;
  }

 private:
  struct Loads {
    std::vector<int64_t> from, to;  // [E] of a layer on a data set
  };
  struct Place {
    size_t data, layer;
    int64_t id;
    const Loads& loads;
  };

  void add_row(const Place& place, UniformLevels& levels, Table& table) const {
    const auto& [data, layer, id, loads] = place;
    const auto& [number_of_layer, n_experts, top_k] = layers_[layer];
    std::vector<int64_t> from(static_cast<size_t>(n_experts), 0), to = from;
    from_[data]->add_counts(layer, id, from);
    to_[data]->add_counts(layer, id, to);
    const int64_t n = to_[data]->occurrences(id), expert = favourite(from);
    const auto share = [&](const std::vector<int64_t>& counts) {
      return expert < 0 ? Json()
                        : ratio(counts[static_cast<size_t>(expert)],
                                std::accumulate(counts.begin(), counts.end(), int64_t{0}));
    };
    Json chance_overlap, chance_cosine, load_overlap;
    if (from_[data]->exactly_k(layer) && to_[data]->exactly_k(layer)) {
      chance_overlap = uniform_share_overlap(n, n, n_experts, top_k);
      load_overlap = load_share_overlap({n, top_k}, loads.from, loads.to);
      chance_cosine = levels.of(n_experts, top_k)->mean_cosine(n, n);
    }
    table.add_row({number_of_layer, data_[data].name, reference_, model_, id, text_of(texts_, id), n,
                   number(share_overlap(from, to)), number(share_cosine(from, to)), chance_overlap,
                   expert < 0 ? Json() : Json(expert), share(from), share(to), chance_cosine, known(reference_step_),
                   load_overlap});
  }

  std::string model_, reference_;
  std::optional<int64_t> reference_step_;
  std::vector<DataSet> data_;
  std::vector<LayerShape> layers_;
  std::vector<std::string> texts_;
  std::vector<int64_t> chosen_;
  TallyReader reader_;
  std::vector<const IdTally*> from_, to_;  // [data]
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_early_routing_analysis(const AnalysisInput& input) {
  return std::make_unique<EarlyRouting>(input);
}

double early_routing_analysis_bytes(const AnalysisInput& input) {
  double bytes = 1024;
  if (input.reference.empty()) return bytes;
  for (const auto side : {Side::reference, Side::model})
    bytes += tally_bytes(input, keys_of(input, IdKind::input, Choices::all, side));
  return bytes;
}

}  // namespace evenkeel::analysis
