#include "train/rate_patterns.h"

#include <algorithm>

#include "core/errors.h"
#include "model/layout.h"

namespace evenkeel::train {

std::vector<std::pair<std::string, double>> slow_patterns(const PhaseConfig& phase) {
  std::vector<std::pair<std::string, double>> out;
  for (const auto& pattern : phase.freeze) out.emplace_back(pattern, 0.0);
  if (phase.slow.is_empty()) return out;
  if (!phase.slow.is_table()) fail_kind(phase.slow, "phase.slow", "a table of pattern = factor");
  for (const auto& [pattern, node] : phase.slow.table()) {
    double factor = 0;
    evenkeel::read_value(node, "phase.slow", factor);
    require<ConfigError>(factor >= 0, node.where, ": got phase.slow factor ", factor, "; need 0 or more");
    out.emplace_back(pattern, factor);
  }
  return out;
}

optim::RateFactors PhaseConfig::rate_factors(const model::ModelConfig& model) const {
  const auto table = model::parameter_table(model);
  std::vector<std::vector<optim::RowRate>> given(table.size());
  for (const auto& [text, factor] : slow_patterns(*this)) {
    const bool is_frozen = std::find(freeze.begin(), freeze.end(), text) != freeze.end();
    const std::string got =
        place(is_frozen ? "freeze" : "slow") + ": got pattern '" + text + "' in phase '" + name + "'";
    const auto pattern = optim::read_row_pattern(text);
    require<ConfigError>(pattern.has_value(), got,
                         "; need a range of rows such as [32000:] or [:8] behind it, or none");
    bool matches = false;
    for (size_t i = 0; i < table.size(); ++i) {
      if (!optim::matches_pattern(table[i].name, pattern->names)) continue;
      matches = true;
      const int64_t n_rows = table[i].shape[0], end = pattern->end.value_or(n_rows);
      require<ConfigError>(pattern->begin < n_rows && end <= n_rows, got, "; need rows within the ", n_rows, " of ",
                           table[i].name);
      given[i].push_back({pattern->begin, end, factor});
    }
    require<ConfigError>(matches, got, "; need one that matches a parameter, such as layers.0.router.*");
  }
  optim::RateFactors out;
  for (size_t i = 0; i < table.size(); ++i) {
    auto rates = optim::merged_rates(table[i].shape[0], given[i]);
    double largest = 0;
    for (const auto& rate : rates) largest = std::max(largest, rate.factor);
    out.values.push_back(largest);
    if (rates.size() > 1) out.rows[i] = std::move(rates);
  }
  return out;
}

}  // namespace evenkeel::train
