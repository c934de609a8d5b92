// Expert co-activation: how often expert b is among a token's experts when a is. Two definitions that differ: all pairs
// of a token's experts (OLMoE, arXiv 2409.02060, eq. 6: N_ab / N_a), and only pairs of neighbouring rank, which is what
// its released script and figures count.
#include <ATen/Parallel.h>

#include "analysis/analyses/cells.h"
#include "analysis/cluster_order.h"

namespace evenkeel::analysis {
namespace {

constexpr size_t kRows = 1000;  // of a table in results.json

enum Mode : size_t { all_pairs, adjacent_rank };
constexpr const char* kModes[] = {"all_pairs", "adjacent_rank"};

// Counts of one layer and side.
struct Pairs {
  size_t n_experts = 0;
  std::vector<int64_t> counts[2];  // by mode, [E, E]: tokens with the row's expert ranked before the column's
  std::vector<int64_t> tokens;     // [E] tokens that chose the expert
  int64_t assignments = 0;
  bool exactly_k = true;        // every token had k experts
  int64_t chances[2] = {0, 0};  // by mode, ordered pairs of a token: E - 1 times what chance gives to one expert
  int64_t together(Mode mode, size_t a, size_t b) const {
    return counts[mode][a * n_experts + b] + counts[mode][b * n_experts + a];
  }
  double probability(Mode mode, size_t a, size_t b) const {
    return static_cast<double>(together(mode, a, b)) / static_cast<double>(tokens[a]);
  }
  // (k - 1) / (E - 1) for all pairs, 2 (k - 1) / (k (E - 1)) for adjacent ranks.
  Json chance(Mode mode) const { return ratio(chances[mode], (static_cast<int64_t>(n_experts) - 1) * assignments); }
};

Pairs make_pairs(const LayerShape& layer) {
  Pairs out;
  out.n_experts = static_cast<size_t>(layer.n_experts);
  for (auto& counts : out.counts) counts.resize(out.n_experts * out.n_experts, 0);
  out.tokens.resize(out.n_experts, 0);
  return out;
}

void add_layer(const TokenChoices& choices, const bool* padding, int64_t top_k, Pairs& sums) {
  int64_t* pairs = sums.counts[all_pairs].data();
  int64_t* adjacent = sums.counts[adjacent_rank].data();
  const auto E = static_cast<int64_t>(sums.n_experts);
  for (int64_t t = 0; t < choices.n_tokens(); ++t) {
    if (padding != nullptr && padding[t]) continue;
    const auto experts = choices.of(t);
    const auto size = static_cast<int64_t>(experts.size());
    for (size_t i = 0; i < experts.size(); ++i) {
      ++sums.tokens[static_cast<size_t>(experts[i])];
      int64_t* row = pairs + experts[i] * E;
      for (size_t j = i + 1; j < experts.size(); ++j) ++row[experts[j]];
      if (i + 1 < experts.size()) ++adjacent[experts[i] * E + experts[i + 1]];
    }
    sums.exactly_k = sums.exactly_k && size == top_k;
    sums.assignments += size;
    sums.chances[all_pairs] += size * (size - 1);
    sums.chances[adjacent_rank] += size == 0 ? 0 : 2 * (size - 1);
  }
}

struct Row {
  size_t layer, a, b;
  double value;  // what rows are ranked by, largest first
  bool operator<(const Row& other) const {
    return std::tuple(-value, layer, a, b) < std::tuple(-other.value, other.layer, other.a, other.b);
  }
};

// The kRows largest of both modes together: half of each, or more where the other has fewer.
void keep_largest(std::vector<Row> (&rows)[2]) {
  const size_t half = kRows / 2;
  for (const auto mode : {all_pairs, adjacent_rank}) {
    auto& mine = rows[mode];
    const size_t others = std::min(rows[1 - mode].size(), half);
    const size_t n = std::min(mine.size(), kRows - others);
    std::partial_sort(mine.begin(), mine.begin() + static_cast<std::ptrdiff_t>(n), mine.end());
    mine.resize(n);
  }
}

class Coactivation : public Analysis {
 public:
  explicit Coactivation(const AnalysisInput& input)
      : model_(input.model), reference_(input.reference), layers_(input.layers) {
    for (const auto& layer : layers_) {
      to_.push_back(make_pairs(layer));
      if (!reference_.empty()) from_.push_back(make_pairs(layer));
    }
  }

  void observe(const Observation& batch) override {
    n_tokens_ += counted_tokens(batch);
    add(batch.routing, batch, to_);
    if (!from_.empty() && !batch.reference.empty()) add(batch.reference, batch, from_);
  }

  std::vector<NamedTable> tables() const override {
    std::vector<NamedTable> out = {{"coactivation", largest()},
                                   {"coactivation_all", everything(), /*csv_only=*/true},
                                   {"coactivation_order", order()}};
    if (!from_.empty()) {
      out.push_back({"coactivation_change", largest_changes()});
      out.push_back({"coactivation_change_all", all_changes(), /*csv_only=*/true});
      out.push_back({"coactivation_change_by_layer", changes_by_layer()});
    }
    return out;
  }

  std::vector<std::string> notes() const override {
    std::vector<std::string> notes;
    for (const auto& layer : layers_)
      if (layer.top_k == 1)
        notes.push_back(
            join_parts("coactivation: a token has one expert in layer ", layer.layer, ", so there are no pairs"));
    if (reference_.empty()) notes.emplace_back("coactivation: its change needs a reference model");
    return notes;
  }

 private:
  void add(const std::vector<moe::RoutingDecision>& routing, const Observation& batch, std::vector<Pairs>& sums) {
    const auto choices = choices_of(routing, layers_, batch.input_ids.numel());
    at::parallel_for(0, static_cast<int64_t>(layers_.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer)
        add_layer(choices[layer], padding_of(batch), layers_[layer].top_k, sums[layer]);
    });
  }

  // visit(layer, a, b) for ordered pairs of different experts, where pairs exist and a was chosen.
  void for_pairs_of(size_t layer, auto visit) const {
    for (size_t a = 0; a < to_[layer].n_experts; ++a)
      for (size_t b = 0; b < to_[layer].n_experts; ++b)
        if (a != b && to_[layer].chances[all_pairs] > 0 && to_[layer].tokens[a] > 0) visit(layer, a, b);
  }
  void for_pairs(auto visit) const {
    for (size_t layer = 0; layer < layers_.size(); ++layer) for_pairs_of(layer, visit);
  }

  Table largest() const {
    Table table;
    table.columns = {{"layer", ""},
                     {"mode", ""},
                     {"expert_a", ""},
                     {"expert_b", ""},
                     {"probability", "of a's tokens"},
                     {"chance", "of a's tokens"},
                     {"tokens_a", "tokens"}};
    table.tokens = n_tokens_;
    table.source =
        "arXiv 2409.02060, eq. 6: N_ab / N_a, before drops; all_pairs: both among a token's k experts, chance (k - 1) "
        "/ (E - 1); adjacent_rank: of neighbouring rank, as the "
        "released script and the paper's figures count, chance 2 (k - 1) / (k (E - 1)). The largest 1,000, half of "
        "each mode; the rest: coactivation_all";
    std::vector<Row> rows[2];
    for (const auto mode : {all_pairs, adjacent_rank})
      for_pairs([&](size_t layer, size_t a, size_t b) {
        rows[mode].push_back({layer, a, b, to_[layer].probability(mode, a, b)});
      });
    keep_largest(rows);
    for (const auto mode : {all_pairs, adjacent_rank})
      for (const auto& [layer, a, b, probability] : rows[mode])
        table.add_row({layers_[layer].layer, kModes[mode], static_cast<int64_t>(a), static_cast<int64_t>(b),
                       probability, to_[layer].chance(mode), to_[layer].tokens[a]});
    return table;
  }

  Table everything() const {
    Table table;
    // Numbers of tokens, without units in the header: the report reads this file.
    table.columns = {{"layer", ""},    {"expert_a", ""}, {"expert_b", ""},     {"tokens_a", ""},
                     {"tokens_b", ""}, {"together", ""}, {"adjacent_rank", ""}};
    table.tokens = n_tokens_;
    table.source =
        "arXiv 2409.02060, eq. 6, as counts: together / tokens_a is the share of a's tokens that b has too; "
        "adjacent_rank: those where the two have neighbouring ranks";
    for_pairs([&](size_t layer, size_t a, size_t b) {
      const auto& pairs = to_[layer];
      if (a < b || pairs.tokens[b] == 0)
        table.add_row({layers_[layer].layer, static_cast<int64_t>(a), static_cast<int64_t>(b), pairs.tokens[a],
                       pairs.tokens[b], pairs.together(all_pairs, a, b), pairs.together(adjacent_rank, a, b)});
    });
    return table;
  }

  Table order() const {
    Table table;
    table.columns = {{"layer", ""}, {"mode", ""}, {"position", ""}, {"expert", ""}};
    table.tokens = n_tokens_;
    table.source =
        "order of the experts in which those that are chosen together stand side by side: average linkage over the "
        "mean of N_ab / N_a and N_ab / N_b";
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      for (const auto mode : {all_pairs, adjacent_rank}) {
        const auto& pairs = to_[layer];
        if (pairs.chances[mode] == 0) continue;
        std::vector<double> alike(pairs.n_experts * pairs.n_experts, 0.0);
        for (size_t a = 0; a < pairs.n_experts; ++a)
          for (size_t b = 0; b < pairs.n_experts; ++b)
            if (a != b && pairs.tokens[a] > 0 && pairs.tokens[b] > 0)
              alike[a * pairs.n_experts + b] = (pairs.probability(mode, std::min(a, b), std::max(a, b)) +
                                                pairs.probability(mode, std::max(a, b), std::min(a, b))) /
                                               2;
        int64_t position = 0;
        for (const int64_t expert : cluster_order(alike, static_cast<int64_t>(pairs.n_experts)))
          table.add_row({layers_[layer].layer, kModes[mode], position++, expert});
      }
    }
    return table;
  }

  // Mean of |change| when both sides choose uniformly at random: of the tokens of a, b is with it in Binomial(tokens of
  // a, chance), by itself for each side. NaN where a router does not give every token k experts: its sides may differ
  // in what they expect.
  double chance_of_change(Mode mode, size_t layer, size_t a) const {
    const auto &from = from_[layer], &to = to_[layer];
    if (!from.exactly_k || !to.exactly_k) return std::nan("");
    return mean_share_difference(from.tokens[a], to.tokens[a], to.chance(mode).as_double());
  }
  double change(Mode mode, size_t layer, size_t a, size_t b) const {
    return to_[layer].probability(mode, a, b) - from_[layer].probability(mode, a, b);
  }

  bool has_both(size_t layer, size_t a) const {
    return from_[layer].tokens[a] > 0 && to_[layer].tokens[a] > 0 && to_[layer].chances[all_pairs] > 0;
  }

  Table all_changes() const {
    Table table;
    // As coactivation_all: counts, no units in the header, a pair once.
    table.columns = {{"layer", ""},         {"expert_a", ""},      {"expert_b", ""},           {"from_tokens_a", ""},
                     {"from_tokens_b", ""}, {"from_together", ""}, {"from_adjacent_rank", ""}, {"to_tokens_a", ""},
                     {"to_tokens_b", ""},   {"to_together", ""},   {"to_adjacent_rank", ""}};
    table.tokens = n_tokens_;
    table.source = "the counts of coactivation_all under " + reference_ + " (from) and " + model_ +
                   " (to) on the same tokens: together / tokens_a is the share of a's tokens that b has too";
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      for (size_t a = 0; a < to_[layer].n_experts; ++a) {
        for (size_t b = a + 1; b < to_[layer].n_experts; ++b) {
          if (!has_both(layer, a) && !has_both(layer, b)) continue;  // nothing changes where one side has neither
          std::vector<Json> row = {layers_[layer].layer, static_cast<int64_t>(a), static_cast<int64_t>(b)};
          for (const auto* pairs : {&from_[layer], &to_[layer]})
            for (const int64_t count : {pairs->tokens[a], pairs->tokens[b], pairs->together(all_pairs, a, b),
                                        pairs->together(adjacent_rank, a, b)})
              row.emplace_back(count);
          table.add_row(std::move(row));
        }
      }
    }
    return table;
  }

  Table largest_changes() const {
    Table table;
    table.columns = {{"layer", ""},
                     {"mode", ""},
                     {"expert_a", ""},
                     {"expert_b", ""},
                     {"from", "of a's tokens"},
                     {"to", "of a's tokens"},
                     {"change", "of a's tokens"},
                     {"chance", "of a's tokens"}};
    table.tokens = n_tokens_;
    table.source = "arXiv 2503.05029 (change of co-activation): N_ab / N_a under " + model_ + " minus that under " +
                   reference_ +
                   " on the same tokens; equal routers give 0. The 1,000 largest in size, half of each mode; the rest: "
                   "coactivation_change_all. "
                   "chance: the mean size of the change when both choose uniformly at random, for as many tokens of a; "
                   "the largest of many pairs stand above it by chance too";
    std::vector<Row> rows[2];
    for (const auto mode : {all_pairs, adjacent_rank})
      for_pairs([&](size_t layer, size_t a, size_t b) {
        if (has_both(layer, a)) rows[mode].push_back({layer, a, b, std::abs(change(mode, layer, a, b))});
      });
    keep_largest(rows);
    for (const auto mode : {all_pairs, adjacent_rank})
      for (const auto& row : rows[mode])
        table.add_row({layers_[row.layer].layer, kModes[mode], static_cast<int64_t>(row.a), static_cast<int64_t>(row.b),
                       from_[row.layer].probability(mode, row.a, row.b), to_[row.layer].probability(mode, row.a, row.b),
                       change(mode, row.layer, row.a, row.b), number(chance_of_change(mode, row.layer, row.a))});
    return table;
  }

  Table changes_by_layer() const {
    Table table;
    table.columns = {{"layer", ""},
                     {"mode", ""},
                     {"mean_absolute_change", "of a's tokens"},
                     {"largest_absolute_change", "of a's tokens"},
                     {"pairs", "pairs"},
                     {"chance", "of a's tokens"}};
    table.tokens = n_tokens_;
    table.source =
        "arXiv 2503.05029 (change of co-activation by layer): over ordered pairs of experts whose first is chosen "
        "under both; equal routers give 0. chance: the mean size of the change when both choose uniformly at random, "
        "for as many tokens of each expert";
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      for (const auto mode : {all_pairs, adjacent_rank}) {
        double sum = 0, largest = 0, chance = 0;
        int64_t n = 0;
        std::vector<double> chances;  // [E] by a, for all b the same
        for (size_t a = 0; a < to_[layer].n_experts; ++a)
          chances.push_back(has_both(layer, a) ? chance_of_change(mode, layer, a) : 0.0);
        for_pairs_of(layer, [&](size_t, size_t a, size_t b) {
          if (!has_both(layer, a)) return;
          chance += chances[a];
          const double size = std::abs(change(mode, layer, a, b));
          sum += size;
          largest = std::max(largest, size);
          ++n;
        });
        if (n > 0)
          table.add_row({layers_[layer].layer, kModes[mode], sum / static_cast<double>(n), largest, n,
                         number(chance / static_cast<double>(n))});
      }
    }
    return table;
  }

  std::string model_, reference_;
  std::vector<LayerShape> layers_;
  std::vector<Pairs> from_, to_;  // by layer
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_coactivation_analysis(const AnalysisInput& input) {
  return std::make_unique<Coactivation>(input);
}

double coactivation_analysis_bytes(const AnalysisInput& input) {
  double bytes = 1024;
  for (const auto& layer : input.layers)
    bytes += (input.reference.empty() ? 1 : 2) * (sizeof(Pairs) + 8.0 * static_cast<double>(layer.n_experts) *
                                                                      static_cast<double>(2 * layer.n_experts + 1));
  return bytes;
}

}  // namespace evenkeel::analysis
