// Position-id specialization (OpenMoE, arXiv 2402.01739, section 4): the standard deviation over experts of the
// assignments of the tokens at one position, against uniform routing of as many tokens, and the shares of single
// positions, far apart and consecutive.
#include "analysis/analyses/cells.h"

namespace evenkeel::analysis {
namespace {

class PositionSpecialization : public Analysis {
 public:
  explicit PositionSpecialization(const AnalysisInput& input)
      : data_(input.data), layers_(input.layers), reader_(input) {
    tallies_ = want_all(reader_, input, keys_of(input, IdKind::position, Choices::all));
  }

  void observe(const Observation& batch) override {
    reader_.observe(batch);
    n_tokens_ += counted_tokens(batch);
  }

  std::vector<NamedTable> tables() const override {
    Table means, single, shares;
    means.columns = {{"layer", ""},
                     {"domain", ""},
                     {"group", ""},
                     {"positions", "positions"},
                     {"occurrences", "tokens"},
                     {"std", "of assignments"},
                     {"baseline_std", "of assignments"},
                     {"chance_std", "of assignments"},
                     {"overlap", ""},
                     {"chance_overlap", ""},
                     {"load_std", "of assignments"}};
    means.source =
        "arXiv 2402.01739, figures 9 and 13: std = mean over positions of sqrt(mean_e (r_e - 1/E)^2), r_e the share of "
        "the assignments at the position, before drops; baseline_std and "
        "chance_std as for token ids; load_std: the root mean square where the experts do not depend on the position "
        "and "
        "have the layer's own load on the data set; overlap: mean of 1 - L1 / 2 over pairs of positions, "
        "chance_overlap: under "
        "uniform routing. Groups: all positions; all but the "
        "first; 7 spaced by an eighth of the sequence; 4 consecutive from an eighth on";
    single.columns = {{"layer", ""},
                      {"domain", ""},
                      {"group", ""},
                      {"position", ""},
                      {"occurrences", "tokens"},
                      {"std", "of assignments"},
                      {"baseline_std", "of assignments"},
                      {"expert", ""},
                      {"max_share", "of assignments"},
                      {"chance_max_share", "of assignments"},
                      {"load_std", "of assignments"}};
    single.source =
        "the same by position; expert: its favourite; chance_max_share: the mean max_share under uniform random "
        "routing of as many tokens; load_std: baseline_std at the layer's own load. The first, spaced and consecutive "
        "positions";
    shares.columns = {{"layer", ""}, {"domain", ""}, {"position", ""}, {"expert", ""}, {"share", "of assignments"}};
    shares.source = "arXiv 2402.01739, figure 9: share of the assignments of the tokens at the position";
    means.tokens = single.tokens = shares.tokens = n_tokens_;
    shares.chance = uniform_share(layers_);
    for (size_t d = 0; d < data_.size(); ++d) {
      UniformLevels levels(tallies_[d]->most_occurrences());
      for (size_t layer = 0; layer < layers_.size(); ++layer) {
        const auto load = load_of(PooledTally({tallies_[d]}), layer, layers_[layer].n_experts);
        for (const auto& group : groups(length_of(*tallies_[d]))) {
          add_group({d, layer, load}, group, levels, means);
          for (const int64_t position : group.is_single ? group.positions : std::vector<int64_t>{}) {
            add_single({d, layer, load}, {group.name, position}, levels, single);
            if (group.name != "consecutive" || position != group.positions[0])
              add_shares(d, layer, position, shares);  // that one is among the spaced
          }
        }
      }
    }
    return {{"position_specialization", std::move(means)},
            {"position_id_specialization", std::move(single)},
            {"position_id_shares", std::move(shares), /*csv_only=*/true}};
  }

  std::vector<std::string> notes() const override {
    std::vector<std::string> notes;
    note_unknown_chance("position_specialization", PooledTally(tallies_), layers_, notes);
    return notes;
  }

 private:
  struct Group {
    std::string name;
    std::vector<int64_t> positions;
    bool is_single;  // its positions have rows of their own
  };
  // Of the longest sequence.
  static int64_t length_of(const IdTally& positions) {
    const auto ids = positions.ids();
    return ids.empty() ? 0 : ids.back() + 1;
  }
  static std::vector<Group> groups(int64_t length) {
    std::vector<Group> out = {{"all", {}, false},
                              {"all_but_first", {}, false},
                              {"first", {}, true},
                              {"spaced", {}, true},
                              {"consecutive", {}, true}};
    for (int64_t p = 0; p < length; ++p) out[p == 0 ? 2 : 1].positions.push_back(p);
    for (int64_t p = 0; p < length; ++p) out[0].positions.push_back(p);
    const int64_t step = length / 8;  // 256 of 2,048
    for (int64_t i = 1; i < 8 && step > 0; ++i) out[3].positions.push_back(i * step);
    for (int64_t i = 0; i < 4 && step > 0; ++i)
      if (step + i < length) out[4].positions.push_back(step + i);
    return out;
  }

  std::vector<int64_t> counts(size_t data, size_t layer, int64_t position) const {
    std::vector<int64_t> out(static_cast<size_t>(layers_[layer].n_experts), 0);
    tallies_[data]->add_counts(layer, position, out);
    return out;
  }

  struct Place {
    size_t data, layer;
    const std::vector<int64_t>& load;  // [E] of the layer on the data set
  };
  void add_group(const Place& place, const Group& group, UniformLevels& levels, Table& table) const {
    const auto& [data, layer, load] = place;
    const auto& tally = *tallies_[data];
    const auto& [number_of_layer, n_experts, top_k] = layers_[layer];
    const auto* uniform = tally.exactly_k(layer) ? levels.of(n_experts, top_k) : nullptr;
    IdSummary summary(uniform);
    if (uniform != nullptr) summary.compare_with(load, top_k);
    for (const int64_t position : group.positions)
      if (tally.occurrences(position) > 0) summary.add(counts(data, layer, position), tally.occurrences(position));
    double overlap = 0, chance = 0;
    int64_t n_pairs = 0;
    for (size_t i = 0; i < group.positions.size() && group.is_single; ++i) {
      for (size_t j = 0; j < i; ++j) {
        const int64_t a = group.positions[i], b = group.positions[j];
        if (tally.occurrences(a) == 0 || tally.occurrences(b) == 0) continue;
        overlap += share_overlap(counts(data, layer, a), counts(data, layer, b));
        chance += uniform != nullptr
                      ? uniform_share_overlap(tally.occurrences(a), tally.occurrences(b), n_experts, top_k)
                      : std::nan("");
        ++n_pairs;
      }
    }
    const auto pairs = static_cast<double>(n_pairs);
    if (summary.ids() > 0)
      table.add_row({number_of_layer, data_[data].name, group.name, summary.ids(), summary.occurrences(),
                     number(summary.mean_std()), number(summary.baseline_std()), number(summary.chance_std()),
                     number(overlap / pairs), number(chance / pairs), number(summary.load_std())});
  }

  struct Position {
    const std::string& group;
    int64_t position;
  };
  void add_single(const Place& place, const Position& of, UniformLevels& levels, Table& table) const {
    const auto& [data, layer, load] = place;
    const auto& [group, position] = of;
    const auto& tally = *tallies_[data];
    if (tally.occurrences(position) == 0) return;
    const auto& [number_of_layer, n_experts, top_k] = layers_[layer];
    const auto experts = counts(data, layer, position);
    const int64_t expert = favourite(experts), sum = std::accumulate(experts.begin(), experts.end(), int64_t{0});
    Json baseline, chance, load_std;
    if (tally.exactly_k(layer)) {
      baseline = uniform_share_std(tally.occurrences(position), n_experts, top_k);
      chance = levels.of(n_experts, top_k)->mean_max_share(tally.occurrences(position)) / static_cast<double>(top_k);
      load_std = load_share_std(tally.occurrences(position), top_k, load);
    }
    table.add_row({number_of_layer, data_[data].name, group, position, tally.occurrences(position),
                   sum > 0 ? Json(share_std(experts)) : Json(), baseline, expert < 0 ? Json() : Json(expert),
                   expert < 0 ? Json() : ratio(experts[static_cast<size_t>(expert)], sum), chance, load_std});
  }

  void add_shares(size_t data, size_t layer, int64_t position, Table& table) const {
    const auto experts = counts(data, layer, position);
    const int64_t sum = std::accumulate(experts.begin(), experts.end(), int64_t{0});
    for (size_t e = 0; e < experts.size() && sum > 0; ++e)
      table.add_row(
          {layers_[layer].layer, data_[data].name, position, static_cast<int64_t>(e), ratio(experts[e], sum)});
  }

  std::vector<DataSet> data_;
  std::vector<LayerShape> layers_;
  TallyReader reader_;
  std::vector<const IdTally*> tallies_;  // [data]
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_position_specialization_analysis(const AnalysisInput& input) {
  return std::make_unique<PositionSpecialization>(input);
}

double position_specialization_analysis_bytes(const AnalysisInput& input) {
  return 1024 + tally_bytes(input, keys_of(input, IdKind::position, Choices::all));
}

}  // namespace evenkeel::analysis
