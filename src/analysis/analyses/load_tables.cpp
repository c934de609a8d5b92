#include "analysis/analyses/load_tables.h"

#include <map>
#include <numeric>

#include "analysis/analyses/cells.h"
#include "analysis/id_stats.h"

namespace evenkeel::analysis {
namespace {

Json known(std::optional<double> value) { return value ? Json(*value) : Json(); }

double share(int64_t part, int64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }

// What uniform random routing gives, made once for each (E, k).
class Chance {
 public:
  explicit Chance(const std::vector<DomainLoad>& domains) {
    for (const auto& domain : domains)
      for (const auto& load : domain.layers) most_ = std::max(most_, load.assignments.n_tokens);
  }
  double max_share(int64_t n_experts, int64_t top_k, int64_t n_tokens) {
    return level(n_experts, top_k).mean_max_share(n_tokens);
  }
  // Of the load: E times the standard deviation of its shares.
  double cv(int64_t n_experts, int64_t top_k, int64_t n_tokens) {
    return static_cast<double>(n_experts) * level(n_experts, top_k).mean_share_std(n_tokens);
  }

 private:
  const UniformRouting& level(int64_t n_experts, int64_t top_k) {
    const std::pair key(n_experts, top_k);
    auto found = levels_.find(key);
    if (found == levels_.end()) found = levels_.emplace(key, UniformRouting(n_experts, top_k, most_)).first;
    return found->second;
  }
  int64_t most_ = 0;
  std::map<std::pair<int64_t, int64_t>, UniformRouting> levels_;
};

// Every layer that a data set has, ascending; within a layer the data sets in their order.
struct Place {
  const std::string* domain;
  const LayerLoad* load;
};
std::map<int64_t, std::vector<Place>> by_layer(const std::vector<DomainLoad>& domains) {
  std::map<int64_t, std::vector<Place>> out;
  for (const auto& domain : domains)
    for (const auto& load : domain.layers) out[load.assignments.layer].push_back({&domain.name, &load});
  return out;
}

// The value of a column, where all rows have the same; else none.
std::optional<double> common_value(const Table& table, const std::string& column) {
  const size_t place = table.column(column);
  std::optional<double> out;
  for (const auto& row : table.rows) {
    if (row[place].is_null() || (out && *out != row[place].as_double())) return std::nullopt;
    out = row[place].as_double();
  }
  return out;
}

// Tokens of all data sets together; none where those of one are unknown.
std::optional<int64_t> all_tokens(const std::vector<DomainLoad>& domains) {
  int64_t sum = 0;
  for (const auto& domain : domains) {
    if (domain.layers.empty()) continue;
    if (!domain.layers[0].has_tokens()) return std::nullopt;
    sum += domain.layers[0].assignments.n_tokens;
  }
  return sum;
}

// `figure(counts)` of the load of each replicate that has a token, and from that its interval.
template <class F>
std::optional<Interval> interval_of(const LayerLoad& load, F&& figure, Interval bounds) {
  if (!load.bootstrap) return std::nullopt;
  std::vector<double> values;
  for (size_t r = 0; r < WindowBootstrap::kReplicates; ++r) {
    const auto counts = load.bootstrap->replicate(r);
    if (std::accumulate(counts.begin(), counts.end(), int64_t{0}) > 0)
      values.push_back(figure({counts.begin(), counts.end()}));
  }
  return bootstrap_interval(figure(load.assignments.tokens_per_expert), values, load.windows->n_windows, bounds);
}

// The same of two data sets, whose windows are drawn apart.
template <class F>
std::optional<Interval> interval_of(const LayerLoad& a, const LayerLoad& b, F&& figure, Interval bounds) {
  if (!a.bootstrap || !b.bootstrap) return std::nullopt;
  std::vector<double> values;
  for (size_t r = 0; r < WindowBootstrap::kReplicates; ++r) {
    const auto left = a.bootstrap->replicate(r), right = b.bootstrap->replicate(r);
    const std::vector<int64_t> x(left.begin(), left.end()), y(right.begin(), right.end());
    const auto has_tokens = [](const std::vector<int64_t>& counts) {
      return std::accumulate(counts.begin(), counts.end(), int64_t{0}) > 0;
    };
    if (has_tokens(x) && has_tokens(y)) values.push_back(figure(x, y).value_or(NAN));
  }
  const auto whole = figure(a.assignments.tokens_per_expert, b.assignments.tokens_per_expert);
  return whole ? bootstrap_interval(*whole, values, std::min(a.windows->n_windows, b.windows->n_windows), bounds)
               : std::nullopt;
}

// ---- load ----

// Of other counts in its place.
RoutingStats stats_of(RoutingCounts counts, std::vector<int64_t> tokens_per_expert) {
  counts.n_dropped = 0;
  counts.tokens_per_expert = std::move(tokens_per_expert);
  return routing_stats(counts);
}

void add_load_row(Table& table, const Place& place, Chance& chance) {
  const LayerLoad& load = *place.load;
  const auto& counts = load.assignments;
  const int64_t E = counts.n_experts, k = counts.top_k, T = counts.n_tokens;
  const auto stats = routing_stats(counts);
  std::optional<double> mri, mri_chance, lower_bound, low, high, effective_tokens, top1_share, top1_chance,
      top1_entropy, entropy_chance, cv_chance;
  if (load.has_tokens()) mri = stats.mri;
  if (load.has_chance()) {
    mri_chance = chance.max_share(E, k, T);
    lower_bound = share(k, E);
    entropy_chance = uniform_entropy(T, E, k);
    cv_chance = chance.cv(E, k, T);
  }
  if (const auto interval = max_share_interval(counts.tokens_per_expert, T, load.windows ? &*load.windows : nullptr)) {
    low = std::max(interval->low, lower_bound.value_or(0.0));
    high = interval->high;
    effective_tokens = interval->effective_tokens;
  }
  if (load.has_tokens() && !load.first_choices.empty()) {
    const auto first = stats_of(counts, load.first_choices);
    top1_share = first.mri;
    top1_entropy = first.entropy;
    top1_chance = chance.max_share(E, 1, T);
  }
  const auto entropy =
      interval_of(load, [&](const std::vector<int64_t>& of) { return stats_of(counts, of).entropy; }, {0, 1});
  const auto cv =
      interval_of(load, [&](const std::vector<int64_t>& of) { return stats_of(counts, of).cv; }, {0, INFINITY});
  const auto n_experts_with = [&](auto&& holds) {
    return static_cast<int64_t>(std::count_if(stats.load.begin(), stats.load.end(), holds));
  };
  const double uniform = 1 / static_cast<double>(E);
  table.add_row({stats.layer,
                 *place.domain,
                 known(mri),
                 stats.entropy,
                 stats.cv,
                 *std::max_element(stats.load.begin(), stats.load.end()),
                 known(mri_chance),
                 known(lower_bound),
                 known(low),
                 known(high),
                 known(effective_tokens),
                 load.has_tokens() ? Json(T) : Json(),
                 stats.dead,
                 n_experts_with([&](double x) { return x > 2 * uniform; }),
                 n_experts_with([&](double x) { return x < uniform / 2; }),
                 load.knows_drops ? Json(stats.dropped) : Json(),
                 known(top1_share),
                 known(top1_chance),
                 known(top1_entropy),
                 known(entropy_chance),
                 known(cv_chance),
                 low_of(entropy),
                 high_of(entropy),
                 low_of(cv),
                 high_of(cv)});
}

NamedTable load_table(const std::vector<DomainLoad>& domains) {
  Table table;
  const std::string of_tokens = "of tokens", of_assignments = "of assignments";
  table.columns = {{"layer", ""},
                   {"domain", ""},
                   {"mri", of_tokens},
                   {"entropy", "/ ln E"},
                   {"cv", ""},
                   {"max_share", of_assignments},
                   {"mri_chance", of_tokens},
                   {"lower_bound", of_tokens},
                   {"mri_low", of_tokens},
                   {"mri_high", of_tokens},
                   {"effective_tokens", "tokens"},
                   {"tokens", "tokens"},
                   {"dead", "experts"},
                   {"above_twice_uniform", "experts"},
                   {"below_half_uniform", "experts"},
                   {"dropped", of_assignments},
                   {"top1_max_share", of_tokens},
                   {"top1_chance", of_tokens},
                   {"top1_entropy", "/ ln E"},
                   {"entropy_chance", "/ ln E"},
                   {"cv_chance", ""},
                   {"entropy_low", "/ ln E"},
                   {"entropy_high", "/ ln E"},
                   {"cv_low", ""},
                   {"cv_high", ""}};
  table.source =
      "MRI: arXiv 2503.05029. Chance: the mean of the figure (of the largest share, the entropy, the cv) when as many "
      "tokens are routed uniformly at random. "
      "mri_low, mri_high: 95 %, Wilson's intervals of all experts at once with Student's quantile of blocks - 1, "
      "effective tokens from the spread between "
      "blocks of windows; NAME_low, NAME_high of the others: 95 %, "
      "bootstrap over blocks of windows. Published counts do not say which tokens stood together, so they have no "
      "intervals";
  Chance chance(domains);
  for (const auto& [layer, places] : by_layer(domains))
    for (const auto& place : places) add_load_row(table, place, chance);
  table.chance = common_value(table, "mri_chance");
  table.tokens = all_tokens(domains);
  return {"load", std::move(table)};
}

// ---- domain_specialization ----

NamedTable specialization_table(const std::vector<DomainLoad>& domains) {
  Table table;
  table.columns = {{"layer", ""},
                   {"domain", ""},
                   {"expert", ""},
                   {"share_of_tokens", "of tokens"},
                   {"share_of_assignments", "of assignments"},
                   {"chance_of_tokens", "of tokens"},
                   {"chance_of_assignments", "of assignments"},
                   {"top1_share", "of tokens"},
                   {"share_of_tokens_low", "of tokens"},
                   {"share_of_tokens_high", "of tokens"}};
  table.source =
      "arXiv 2409.02060, eq. 7. Chance: k / E of the tokens, 1 / E of the assignments and of first choices. "
      "share_of_tokens_low, _high: 95 % for each expert by itself, Wilson's with Student's quantile of blocks - 1, "
      "effective tokens as in load";
  for (const auto& [layer, places] : by_layer(domains)) {
    for (const auto& place : places) {
      const auto& counts = place.load->assignments;
      const auto stats = routing_stats(counts);
      std::optional<double> of_tokens, first, chance;
      if (place.load->has_chance()) chance = share(counts.top_k, counts.n_experts);
      const auto intervals = share_intervals(counts.tokens_per_expert, counts.n_tokens,
                                             place.load->windows ? &*place.load->windows : nullptr);
      for (size_t e = 0; e < stats.load.size(); ++e) {
        if (place.load->has_tokens()) of_tokens = share(counts.tokens_per_expert[e], counts.n_tokens);
        if (place.load->has_tokens() && !place.load->first_choices.empty())
          first = share(place.load->first_choices[e], counts.n_tokens);
        table.add_row({layer, *place.domain, static_cast<int64_t>(e), known(of_tokens), stats.load[e], known(chance),
                       share(1, counts.n_experts), known(first), intervals.empty() ? Json() : Json(intervals[e].low),
                       intervals.empty() ? Json() : Json(intervals[e].high)});
      }
    }
  }
  table.chance = common_value(table, "chance_of_tokens");
  if (!table.chance) table.chance = common_value(table, "chance_of_assignments");
  table.tokens = all_tokens(domains);
  return {"domain_specialization", std::move(table)};
}

// ---- domain_similarity ----

// Pearson's correlation; none where one side is constant.
std::optional<double> correlation(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  const auto n = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n,
               mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double product = 0, square_a = 0, square_b = 0;
  for (size_t e = 0; e < a.size(); ++e) {
    const double x = static_cast<double>(a[e]) - mean_a, y = static_cast<double>(b[e]) - mean_b;
    product += x * y;
    square_a += x * x;
    square_b += y * y;
  }
  if (square_a == 0 || square_b == 0) return std::nullopt;
  return product / std::sqrt(square_a * square_b);
}

std::optional<double> overlap(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  const double value = share_overlap(a, b);
  return std::isnan(value) ? std::nullopt : std::optional(value);
}

void add_similarity_row(Table& table, const Place& a, const Place& b) {
  const auto &left = a.load->assignments, &right = b.load->assignments;
  std::optional<double> chance, first_correlation, first_overlap, first_chance;
  if (a.load->has_chance() && b.load->has_chance() && left.top_k == right.top_k)
    chance = uniform_share_overlap(left.n_tokens, right.n_tokens, left.n_experts, left.top_k);
  if (!a.load->first_choices.empty() && !b.load->first_choices.empty()) {
    first_correlation = correlation(a.load->first_choices, b.load->first_choices);
    first_overlap = overlap(a.load->first_choices, b.load->first_choices);
    if (a.load->has_tokens() && b.load->has_tokens())
      first_chance = uniform_share_overlap(left.n_tokens, right.n_tokens, left.n_experts, 1);
  }
  const auto of_correlation = interval_of(*a.load, *b.load, correlation, {-1, 1}),
             of_overlap = interval_of(*a.load, *b.load, overlap, {0, 1});
  table.add_row({left.layer, *a.domain, *b.domain, known(correlation(left.tokens_per_expert, right.tokens_per_expert)),
                 known(overlap(left.tokens_per_expert, right.tokens_per_expert)), known(chance),
                 routing_stats(left).entropy, routing_stats(right).entropy, known(first_correlation),
                 known(first_overlap), known(first_chance), low_of(of_correlation), high_of(of_correlation),
                 low_of(of_overlap), high_of(of_overlap)});
}

NamedTable similarity_table(const std::vector<DomainLoad>& domains) {
  Table table;
  table.columns = {{"layer", ""},
                   {"domain_a", ""},
                   {"domain_b", ""},
                   {"correlation", ""},
                   {"overlap", ""},
                   {"overlap_chance", ""},
                   {"entropy_a", "/ ln E"},
                   {"entropy_b", "/ ln E"},
                   {"top1_correlation", ""},
                   {"top1_overlap", ""},
                   {"top1_overlap_chance", ""},
                   {"correlation_low", ""},
                   {"correlation_high", ""},
                   {"overlap_low", ""},
                   {"overlap_high", ""}};
  table.source =
      "Pearson's correlation of the loads, and 1 - L1 / 2 (arXiv 2402.01739, section 4). Chance: both sets routed "
      "uniformly at random "
      "overlap by overlap_chance (first choices: top1_overlap_chance) and have correlation 0. NAME_low, NAME_high: 95 "
      "%, bootstrap over the windows of both";
  for (const auto& [layer, places] : by_layer(domains))
    for (size_t a = 0; a < places.size(); ++a)
      for (size_t b = a + 1; b < places.size(); ++b) add_similarity_row(table, places[a], places[b]);
  table.chance = common_value(table, "overlap_chance");
  table.tokens = all_tokens(domains);
  return {"domain_similarity", std::move(table)};
}

}  // namespace

std::vector<NamedTable> load_tables(const std::vector<DomainLoad>& domains) {
  return {load_table(domains), specialization_table(domains), similarity_table(domains)};
}

}  // namespace evenkeel::analysis
