#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "analysis/analysis.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_load_analysis(const AnalysisInput& input);

namespace {

moe::RoutingDecision decision(std::vector<int64_t> expert_ids, int64_t n_experts, int64_t top_k) {
  moe::RoutingDecision out;
  out.n_experts = n_experts;
  out.top_k = top_k;
  out.n_tokens = static_cast<int64_t>(expert_ids.size()) / top_k;
  std::vector<int64_t> rows;
  for (size_t n = 0; n < expert_ids.size(); ++n) rows.push_back(static_cast<int64_t>(n) / top_k);
  out.token_ids = at::tensor(rows);
  out.expert_ids = at::tensor(expert_ids);
  return out;
}

TEST(LoadAnalysis, CountsByHand) {
  AnalysisInput input;
  input.data = {{"a", 3}};
  input.layers = {{0, 4, 2}};
  auto load = make_load_analysis(input);
  Observation batch;
  batch.routing = {decision({0, 1, 0, 2, 0, 1}, 4, 2)};
  load->observe(batch);
  const auto tables = load->tables();
  const auto& table = tables.at(0).table;
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_DOUBLE_EQ(table.rows[0][table.column("mri")].as_double(), 1.0);
  EXPECT_DOUBLE_EQ(table.rows[0][table.column("max_share")].as_double(), 0.5);
}

}  // namespace
}  // namespace evenkeel::analysis
