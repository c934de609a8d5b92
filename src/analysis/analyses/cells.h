// Cells of tables, and what several analyses ask of a batch or of tallies.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "analysis/id_stats.h"
#include "analysis/id_tally.h"
#include "analysis/own_load.h"
#include "analysis/share_interval.h"
#include "core/errors.h"

namespace evenkeel::analysis {

// null where there is nothing to divide by, and for NaN.
inline Json ratio(int64_t part, int64_t whole) {
  return whole == 0 ? Json() : Json(static_cast<double>(part) / static_cast<double>(whole));
}
inline Json number(double value) { return std::isnan(value) ? Json() : Json(value); }
// The ends of an interval, null where there is none.
inline Json low_of(const std::optional<Interval>& interval) { return interval ? Json(interval->low) : Json(); }
inline Json high_of(const std::optional<Interval>& interval) { return interval ? Json(interval->high) : Json(); }
inline Json known(const std::optional<int64_t>& value) { return value ? Json(*value) : Json(); }
inline Json text_of(const std::vector<std::string>& texts, int64_t id) {
  return static_cast<size_t>(id) < texts.size() ? Json(texts[static_cast<size_t>(id)]) : Json();
}

// Columns and source of tables that an analysis fills from a model or a trace, and analyze_counts from counts.
inline Table token_specialization_table() {
  Table table;
  table.columns = {{"layer", ""},
                   {"domain", ""},
                   {"ids", "ids"},
                   {"occurrences", "tokens"},
                   {"minimum_count", "tokens"},
                   {"std", "of assignments"},
                   {"baseline_std", "of assignments"},
                   {"chance_std", "of assignments"},
                   {"load_std", "of assignments"}};
  table.source =
      "arXiv 2402.01739, section 4: std = mean over ids with at least minimum_count occurrences of sqrt(mean_e (r_e - "
      "1/E)^2), r_e the share of the id's assignments, before drops. baseline_std: mean of sqrt((1 - k/E) / (n k E)), "
      "the root mean square under uniform random routing of n occurrences; chance_std: the mean there. load_std: mean "
      "of "
      "the root mean square where the experts do not depend on the id and have the layer's own load on the data set";
  return table;
}
inline Table vocabulary_specialization_table() {
  Table table;
  table.columns = {{"layer", ""},
                   {"k", ""},
                   {"id_kind", ""},
                   {"mean", "of occurrences"},
                   {"minimum_count", "tokens"},
                   {"chance", "of occurrences"},
                   {"mean_by_occurrence", "of occurrences"},
                   {"ids", "ids"},
                   {"occurrences", "tokens"},
                   {"mean_low", "of occurrences"},
                   {"mean_high", "of occurrences"},
                   {"load_chance", "of occurrences"}};
  table.source =
      "arXiv 2409.02060, eq. 8: max over experts of the share of an id's occurrences among whose k chosen experts it "
      "is; mean: over ids with at least minimum_count occurrences, each counting once. All data sets together. chance: "
      "the same ids under uniform random routing, k / E in the limit. mean_low, mean_high: 95 %, from the spread over "
      "ids. load_chance: the same ids where first choices do not depend on the id and have the layer's own load; of k "
      "= "
      "1 alone, as counts by id do not say which experts go together";
  return table;
}

// 1 / E where all layers have the same E.
inline std::optional<double> uniform_share(const std::vector<LayerShape>& layers) {
  for (const auto& layer : layers)
    if (layer.n_experts != layers[0].n_experts) return {};
  return layers.empty() ? std::optional<double>() : 1.0 / static_cast<double>(layers[0].n_experts);
}

inline const bool* padding_of(const Observation& batch) {
  return batch.is_padding.defined() ? batch.is_padding.const_data_ptr<bool>() : nullptr;
}
// Tokens that are no padding.
inline int64_t counted_tokens(const Observation& batch) {
  const int64_t n_tokens = batch.input_ids.numel();
  const bool* padding = padding_of(batch);
  return padding == nullptr ? n_tokens : n_tokens - std::accumulate(padding, padding + n_tokens, int64_t{0});
}

// The tallies of an analysis: input ids and positions by data set, so that all who read them share them; the others
// together.
inline std::vector<TallyKey> keys_of(const AnalysisInput& input, IdKind kind, Choices choices,
                                     Side side = Side::model) {
  if (kind == IdKind::predicted || kind == IdKind::target) return {{kind, choices, side}};
  std::vector<TallyKey> keys;
  for (size_t d = 0; d < input.data.size(); ++d) keys.push_back({kind, choices, side, static_cast<int64_t>(d)});
  return keys;
}
// The tallies of these keys, before the first batch.
inline std::vector<const IdTally*> want_all(TallyReader& reader, const AnalysisInput& input,
                                            const std::vector<TallyKey>& keys) {
  std::vector<const IdTally*> out;
  out.reserve(keys.size());
  for (const auto& key : keys) out.push_back(&reader.want(input, key));
  return out;
}

// Counts of the same ids in several data sets, added.
class PooledTally {
 public:
  explicit PooledTally(std::vector<const IdTally*> parts) : parts_(std::move(parts)) {}
  // Those that occur, ascending.
  std::vector<int64_t> ids() const {
    std::vector<int64_t> out;
    for (const auto* part : parts_) {
      std::vector<int64_t> merged;
      const auto ids = part->ids();
      std::set_union(out.begin(), out.end(), ids.begin(), ids.end(), std::back_inserter(merged));
      out = std::move(merged);
    }
    return out;
  }
  int64_t n_tokens() const {
    return sum([](const IdTally& part) { return part.n_tokens(); });
  }
  // Not below that of any id.
  int64_t most_occurrences() const {
    return sum([](const IdTally& part) { return part.most_occurrences(); });
  }
  int64_t occurrences(int64_t id) const {
    return sum([id](const IdTally& part) { return part.occurrences(id); });
  }
  // counts [E], overwritten
  void counts(size_t layer, int64_t id, std::span<int64_t> counts) const {
    std::fill(counts.begin(), counts.end(), 0);
    for (const auto* part : parts_) part->add_counts(layer, id, counts);
  }
  bool exactly_k(size_t layer) const {
    return std::all_of(parts_.begin(), parts_.end(), [layer](const IdTally* part) { return part->exactly_k(layer); });
  }

 private:
  int64_t sum(auto value) const {
    int64_t out = 0;
    for (const auto* part : parts_) out += value(*part);
    return out;
  }
  std::vector<const IdTally*> parts_;
};

// Adds a note where chance levels are unknown because the router does not give every token k experts.
inline void note_unknown_chance(const std::string& analysis, const PooledTally& tally,
                                const std::vector<LayerShape>& layers, std::vector<std::string>& notes) {
  for (size_t layer = 0; layer < layers.size(); ++layer)
    if (!tally.exactly_k(layer))
      notes.push_back(join_parts(analysis, ": no chance level for layer ", layers[layer].layer,
                                 "; its router does not give every token k experts"));
}

// [E] choices of the layer over all ids of the tally.
inline std::vector<int64_t> load_of(const PooledTally& tally, size_t layer, int64_t n_experts) {
  std::vector<int64_t> load(static_cast<size_t>(n_experts)), counts(load.size());
  for (const int64_t id : tally.ids()) {
    tally.counts(layer, id, counts);
    std::transform(load.begin(), load.end(), counts.begin(), load.begin(), std::plus<>());
  }
  return load;
}

// The mean of max_share over ids with so many occurrences whose first choices are drawn from the load; null without an
// id.
inline Json load_chance(const std::vector<int64_t>& occurrences, LoadFavourite& levels) {
  double sum = 0;
  for (const int64_t n : occurrences) sum += levels.mean_max_share(n);
  return number(sum / static_cast<double>(occurrences.size()));
}

// The input's chosen ids that occur, or else the `most` most frequent ids, ties to the lower.
inline std::vector<int64_t> followed_ids(const IdTally& tally, const std::vector<int64_t>& chosen, size_t most) {
  std::vector<int64_t> ids = chosen.empty() ? tally.ids() : chosen;
  std::erase_if(ids, [&](int64_t id) { return tally.occurrences(id) == 0; });
  if (!chosen.empty()) return ids;
  const auto before = [&](int64_t a, int64_t b) {
    return tally.occurrences(a) != tally.occurrences(b) ? tally.occurrences(a) > tally.occurrences(b) : a < b;
  };
  const size_t n = std::min(most, ids.size());
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n), ids.end(), before);
  ids.resize(n);
  return ids;
}

// Adds a note where ids that were chosen do not occur in a data set, so that nothing is missing without a word.
inline void note_missing_ids(const std::string& table, const IdTally& tally, const std::string& data,
                             const std::vector<int64_t>& chosen, std::vector<std::string>& notes) {
  constexpr size_t kNamed = 10;
  std::vector<int64_t> missing;
  std::copy_if(chosen.begin(), chosen.end(), std::back_inserter(missing),
               [&](int64_t id) { return tally.occurrences(id) == 0; });
  if (missing.empty()) return;
  std::string ids;
  for (size_t i = 0; i < std::min(kNamed, missing.size()); ++i) add_to_list(ids, std::to_string(missing[i]));
  if (missing.size() > kNamed) ids += join_parts(" and ", missing.size() - kNamed, " more");
  notes.push_back(join_parts(table, ": no rows for ", missing.size() == 1 ? "id " : "ids ", ids, ", which ",
                             missing.size() == 1 ? "does" : "do", " not occur in ", data));
}

// Levels of uniform routing for each E and k that occurs.
class UniformLevels {
 public:
  explicit UniformLevels(int64_t most) : most_(most) {}
  const UniformRouting* of(int64_t n_experts, int64_t top_k) {
    auto& level = levels_[{n_experts, top_k}];
    if (level == nullptr) level = std::make_unique<UniformRouting>(n_experts, top_k, most_);
    return level.get();
  }

 private:
  int64_t most_;
  std::map<std::pair<int64_t, int64_t>, std::unique_ptr<UniformRouting>> levels_;
};

}  // namespace evenkeel::analysis
