#include "analysis/counts.h"

#include <map>

#include "analysis/analyses/cells.h"
#include "analysis/analyses/load_tables.h"
#include "core/errors.h"

namespace evenkeel::analysis {
namespace {

constexpr int64_t kTokenMinimum = 129, kVocabularyMinimum = 10;  // as in the analyses of the same names

std::vector<DomainLoad> loads_of(const std::vector<DomainCounts>& domains) {
  std::vector<DomainLoad> out;
  for (const auto& domain : domains) {
    out.push_back({domain.name, {}});
    for (const auto& layer : domain.layers) {
      LayerLoad load;
      load.assignments = {layer.layer, domain.n_experts, domain.top_k, domain.n_tokens, 0, layer.assignments};
      load.first_choices = layer.first_choices;
      load.knows_drops = false;
      out.back().layers.push_back(std::move(load));
    }
  }
  return out;
}

// Calls take(counts [E], occurrences) for each id; entries are sorted by id.
template <class F>
void for_each_id(const std::vector<IdCount>& ids, int64_t n_experts, int64_t top_k, F&& take) {
  std::vector<int64_t> counts(static_cast<size_t>(n_experts));
  for (size_t i = 0; i < ids.size();) {
    std::fill(counts.begin(), counts.end(), 0);
    int64_t sum = 0;
    for (const int32_t id = ids[i].id; i < ids.size() && ids[i].id == id; ++i) {
      counts[static_cast<size_t>(ids[i].expert)] += ids[i].count;
      sum += ids[i].count;
    }
    if (sum > 0) take(counts, sum / top_k);
  }
}

// [E] assignments over all ids.
std::vector<int64_t> load_of(const std::vector<IdCount>& ids, int64_t n_experts) {
  std::vector<int64_t> load(static_cast<size_t>(n_experts));
  for (const auto& [id, expert, count] : ids) load[static_cast<size_t>(expert)] += count;
  return load;
}

// Of any id; at least 1.
int64_t most_occurrences(const std::vector<IdCount>& ids, int64_t n_experts, int64_t top_k) {
  int64_t most = 1;
  for_each_id(ids, n_experts, top_k, [&](const std::vector<int64_t>&, int64_t n) { most = std::max(most, n); });
  return most;
}

std::optional<NamedTable> token_table(const std::vector<DomainCounts>& domains, int64_t minimum_count) {
  Table table = token_specialization_table();
  int64_t n_tokens = 0;
  for (const auto& domain : domains) {
    if (domain.layers[0].ids.empty()) continue;
    n_tokens += domain.n_tokens;
    UniformLevels levels(most_occurrences(domain.layers[0].ids, domain.n_experts, domain.top_k));
    for (const auto& layer : domain.layers) {
      IdSummary summary(levels.of(domain.n_experts, domain.top_k));
      summary.compare_with(load_of(layer.ids, domain.n_experts), domain.top_k);
      for_each_id(layer.ids, domain.n_experts, domain.top_k, [&](const std::vector<int64_t>& counts, int64_t n) {
        if (n >= minimum_count) summary.add(counts, n);
      });
      table.add_row({layer.layer, domain.name, summary.ids(), summary.occurrences(), minimum_count,
                     number(summary.mean_std()), number(summary.baseline_std()), number(summary.chance_std()),
                     number(summary.load_std())});
    }
  }
  if (table.rows.empty()) return std::nullopt;
  table.tokens = n_tokens;
  return NamedTable{"token_specialization", std::move(table)};
}

// Ids of all domains together, by layer.
std::optional<NamedTable> vocabulary_table(const std::vector<DomainCounts>& domains, int64_t minimum_count) {
  Table table = vocabulary_specialization_table();
  std::map<int64_t, std::vector<IdCount>> by_layer;
  int64_t n_tokens = 0, top_k = 0;
  for (const auto& domain : domains) {
    if (domain.layers[0].ids.empty()) continue;
    top_k = domain.top_k;
    n_tokens += domain.n_tokens;
    for (const auto& layer : domain.layers)
      by_layer[layer.layer].insert(by_layer[layer.layer].end(), layer.ids.begin(), layer.ids.end());
  }
  for (auto& [layer, ids] : by_layer) {
    std::stable_sort(ids.begin(), ids.end(), [](const IdCount& a, const IdCount& b) { return a.id < b.id; });
    UniformLevels levels(most_occurrences(ids, domains[0].n_experts, top_k));
    LoadFavourite favourites(load_of(ids, domains[0].n_experts));
    for (const int64_t minimum :
         minimum_count == 1 ? std::vector<int64_t>{1} : std::vector<int64_t>{1, minimum_count}) {
      IdSummary summary(levels.of(domains[0].n_experts, top_k));
      std::vector<int64_t> occurrences;
      for_each_id(ids, domains[0].n_experts, top_k, [&](const std::vector<int64_t>& counts, int64_t n) {
        if (n < minimum) return;
        summary.add(counts, n);
        occurrences.push_back(n);
      });
      table.add_row({layer, top_k, "input", number(summary.mean_max_share()), minimum,
                     number(summary.chance_max_share()), number(summary.max_share_by_occurrence()), summary.ids(),
                     summary.occurrences(), low_of(summary.max_share_interval()), high_of(summary.max_share_interval()),
                     top_k == 1 ? load_chance(occurrences, favourites) : Json()});
    }
  }
  if (table.rows.empty()) return std::nullopt;
  table.tokens = n_tokens;
  return NamedTable{"vocabulary_specialization", std::move(table)};
}

std::vector<std::string> notes_on(const std::vector<DomainCounts>& domains, bool has_ids) {
  std::vector<std::string> notes;
  for (const auto& domain : domains)
    if (domain.n_tokens == 0)
      notes.push_back(
          "load: " + domain.name +
          " states neither tokens nor k, so it has no MRI, no share of tokens and no chance level; needs --top-k");
  notes.emplace_back("load: no intervals, since counts do not say which tokens stood together; drops are unknown");
  notes.emplace_back(has_ids
                         ? "counts say nothing about single tokens: all other analyses need a model or a trace"
                         : "counts say nothing about single tokens or ids: all other analyses need a model or a trace");
  return notes;
}

}  // namespace

std::vector<DomainCounts> read_count_files(const std::vector<std::filesystem::path>& paths, int64_t top_k) {
  std::vector<DomainCounts> out;
  std::map<std::string, std::string> file_of;
  std::optional<std::pair<int64_t, std::string>> known_k;  // and the file that says it
  for (const auto& path : paths) {
    for (auto& domain : read_count_file(path, top_k)) {
      const auto [place, is_new] = file_of.emplace(domain.name, path.string());
      require<DataError>(is_new, path.string(), ": got the domain '", domain.name, "', which ", place->second,
                         " has too; need distinct domains");
      require<DataError>(out.empty() || (domain.model == out[0].model && domain.n_experts == out[0].n_experts),
                         path.string(), ": got ", domain.n_experts, " experts of the model '", domain.model, "'; need ",
                         out.empty() ? 0 : out[0].n_experts, " of '", out.empty() ? "" : out[0].model, "' as in ",
                         paths[0].string());
      if (domain.top_k > 0) {
        if (!known_k) known_k = {domain.top_k, path.string()};
        require<DataError>(domain.top_k == known_k->first, path.string(), ": ", domain.name, ": got ", domain.top_k,
                           " experts a token; need ", known_k->first, " as in ", known_k->second);
      }
      out.push_back(std::move(domain));
    }
  }
  return out;
}

AnalysisTables analyze_counts(const std::vector<DomainCounts>& domains, int64_t minimum_count) {
  AnalysisTables out;
  out.tables = load_tables(loads_of(domains));
  const auto tokens = token_table(domains, minimum_count > 0 ? minimum_count : kTokenMinimum);
  const auto vocabulary = vocabulary_table(domains, minimum_count > 0 ? minimum_count : kVocabularyMinimum);
  if (vocabulary) out.tables.push_back(*vocabulary);
  if (tokens) out.tables.push_back(*tokens);
  out.notes = notes_on(domains, tokens.has_value());
  return out;
}

}  // namespace evenkeel::analysis
