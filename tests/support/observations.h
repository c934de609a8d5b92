// Batches of routing made by hand for the analyses, and cells of their tables by what stands in the row.
#pragma once

#include <cmath>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "analysis/analysis.h"
#include "core/rng.h"

namespace evenkeel::testing {

using Experts = std::vector<std::vector<int64_t>>;  // [T] experts of a token, best first

inline moe::RoutingDecision routing_of(const Experts& experts, int64_t n_experts, int64_t top_k, int64_t layer = 0,
                                       int64_t n_sequences = 1) {
  moe::RoutingDecision out;
  out.layer = layer;
  out.n_tokens = static_cast<int64_t>(experts.size());
  out.n_experts = n_experts;
  out.top_k = top_k;
  out.n_sequences = n_sequences;
  std::vector<int64_t> token_ids, expert_ids;
  for (size_t t = 0; t < experts.size(); ++t)
    for (const int64_t expert : experts[t]) {
      token_ids.push_back(static_cast<int64_t>(t));
      expert_ids.push_back(expert);
    }
  out.token_ids = at::tensor(token_ids, at::kLong);
  out.expert_ids = at::tensor(expert_ids, at::kLong);
  out.weights = at::full({out.expert_ids.size(0)}, 1.0 / static_cast<double>(top_k), at::kFloat);
  return out;
}

// ids [B * S] in sequences of `length`; the target of a token is the next one of the stream. One document.
inline analysis::Observation batch_of(const std::vector<int64_t>& ids, int64_t length,
                                      std::vector<moe::RoutingDecision> routing) {
  analysis::Observation out;
  auto targets = ids;
  if (!targets.empty()) {
    targets.erase(targets.begin());
    targets.push_back(-1);
  }
  out.input_ids = at::tensor(ids, at::kLong).view({-1, length});
  out.target_ids = at::tensor(targets, at::kLong).view({-1, length});
  out.document_ids = at::zeros(out.input_ids.sizes(), at::kInt);
  out.routing = std::move(routing);
  for (auto& decision : out.routing) decision.n_sequences = out.input_ids.size(0);
  return out;
}

inline analysis::AnalysisInput input_of(std::vector<analysis::LayerShape> layers, int64_t vocab_size, int64_t length,
                                        std::vector<std::string> data = {"text"}) {
  analysis::AnalysisInput out;
  out.model = "model";
  for (const auto& name : data) out.data.push_back({name, 1000});
  out.layers = std::move(layers);
  out.vocab_size = vocab_size;
  out.sequence_length = length;
  return out;
}

// k different experts of E for each of T tokens, uniformly at random.
inline Experts uniform_experts(int64_t n_tokens, int64_t n_experts, int64_t top_k, uint64_t seed) {
  RngStream rng(seed, "uniform experts");
  Experts out;
  std::vector<int64_t> order(static_cast<size_t>(n_experts));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t t = 0; t < n_tokens; ++t) {
    for (size_t i = 0; i < static_cast<size_t>(top_k); ++i) std::swap(order[i], order[i + rng.below(order.size() - i)]);
    out.emplace_back(order.begin(), order.begin() + top_k);
  }
  return out;
}
inline std::vector<int64_t> uniform_ids(int64_t n, int64_t limit, uint64_t seed) {
  RngStream rng(seed, "uniform ids");
  std::vector<int64_t> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(static_cast<int64_t>(rng.below(static_cast<uint64_t>(limit))));
  return out;
}

inline Table table_of(const std::vector<analysis::NamedTable>& tables, const std::string& name) {
  for (const auto& table : tables)
    if (table.name == name) return table.table;
  ADD_FAILURE() << "no table " << name;
  return {};
}

using Where = std::vector<std::pair<std::string, Json>>;  // column and value
// The cell of the only row in which `where` holds.
inline Json cell(const Table& table, const Where& where, const std::string& column) {
  const std::vector<Json>* found = nullptr;
  for (const auto& row : table.rows) {
    bool holds = true;
    for (const auto& [name, value] : where) holds = holds && row.at(table.column(name)) == value;
    if (!holds) continue;
    EXPECT_EQ(found, nullptr) << "two rows";
    found = &row;
  }
  if (found == nullptr) {
    ADD_FAILURE() << "no row for " << column;
    return {};
  }
  return found->at(table.column(column));
}
inline double number_in(const Table& table, const Where& where, const std::string& column) {
  const Json value = cell(table, where, column);
  return value.is_number() ? value.as_double() : std::nan("");
}

}  // namespace evenkeel::testing
