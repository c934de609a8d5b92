// How often the intervals of a table hold what they should, over tables of made routing.
#pragma once

#include <functional>
#include <variant>

#include "support/observations.h"

namespace evenkeel::testing {

// Of so many tables, the share of those in which [VALUE_low, VALUE_high] of the row at `where` holds the truth: a
// number, or the row's column of that name. 300 tables of true 95 % intervals are below 0.91 once in 600; every call
// has fixed seeds.
constexpr int kTables = 300;
constexpr double kLeastHeld = 0.91;
struct Claim {
  Where where;
  std::string value;
  std::variant<double, std::string> truth;
};
inline double share_held(const std::function<Table(uint64_t seed)>& make, const Claim& claim) {
  int held = 0;
  for (uint64_t seed = 1; seed <= kTables; ++seed) {
    const Table table = make(seed);
    const auto* column = std::get_if<std::string>(&claim.truth);
    const double truth = column != nullptr ? number_in(table, claim.where, *column) : std::get<double>(claim.truth);
    held += number_in(table, claim.where, claim.value + "_low") <= truth &&
                    truth <= number_in(table, claim.where, claim.value + "_high")
                ? 1
                : 0;
  }
  return static_cast<double>(held) / kTables;
}

// Windows of tokens with ids below V; under the model and the reference each takes k of E experts uniformly at random.
struct UniformShape {
  int64_t n_windows = 12, length = 40, vocab_size = 30, n_experts = 8, top_k = 3;
};
inline analysis::AnalysisInput uniform_input(const UniformShape& shape) {
  auto input = input_of({{0, shape.n_experts, shape.top_k}}, shape.vocab_size, shape.length);
  input.reference = "reference";
  return input;
}
inline analysis::Observation uniform_batch(const UniformShape& shape, uint64_t seed) {
  const int64_t T = shape.n_windows * shape.length;
  const auto routing = [&](uint64_t of) {
    return routing_of(uniform_experts(T, shape.n_experts, shape.top_k, of), shape.n_experts, shape.top_k, 0,
                      shape.n_windows);
  };
  auto batch = batch_of(uniform_ids(T, shape.vocab_size, seed), shape.length, {routing(2 * seed)});
  batch.reference = {routing(2 * seed + 1)};
  return batch;
}

}  // namespace evenkeel::testing
