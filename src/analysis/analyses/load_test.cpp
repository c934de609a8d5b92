#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "analysis/analysis.h"
#include "golden/golden.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_load_analysis(const AnalysisInput& input);

namespace {

// Windows of equal length, each a list of tokens, each a list of experts.
moe::RoutingDecision decision(const std::vector<const Json*>& windows, int64_t n_experts, int64_t top_k) {
  moe::RoutingDecision out;
  out.n_experts = n_experts;
  out.top_k = top_k;
  out.n_sequences = static_cast<int64_t>(windows.size());
  std::vector<int64_t> token_ids, expert_ids;
  for (const auto* window : windows)
    for (const auto& token : window->as_array()) {
      for (const auto& expert : token.as_array()) {
        token_ids.push_back(out.n_tokens);
        expert_ids.push_back(expert.as_int());
      }
      ++out.n_tokens;
    }
  out.token_ids = at::tensor(token_ids, at::kLong);
  out.expert_ids = at::tensor(expert_ids, at::kLong);
  return out;
}

const Table& table_of(const std::vector<NamedTable>& tables, const std::string& name) {
  for (const auto& table : tables)
    if (table.name == name) return table.table;
  throw std::logic_error("no table " + name);
}

// The tables of the golden windows, `batch_size` windows at a time where they have equal lengths.
std::vector<NamedTable> tables_of(const testing::Golden& golden, size_t batch_size) {
  const int64_t E = golden.inputs.at("n_experts").as_int(), k = golden.inputs.at("top_k").as_int();
  AnalysisInput input;
  input.data = {{"plain", 17}, {"topical", 51}};
  input.layers = {{4, E, k}};
  auto load = make_load_analysis(input);
  for (size_t data = 0; data < input.data.size(); ++data) {
    const auto& windows = golden.inputs.at("windows").at(input.data[data].name).as_array();
    for (size_t first = 0; first < windows.size();) {
      std::vector<const Json*> batch;
      while (first < windows.size() && batch.size() < batch_size && windows[first].size() == windows[first - batch.size()].size()) batch.push_back(&windows[first++]);
      Observation observation;
      observation.data = data;
      observation.input_ids = at::zeros({static_cast<int64_t>(batch.size()), static_cast<int64_t>(batch[0]->size())}, at::kLong);
      observation.routing = {decision(batch, E, k)};
      observation.routing[0].layer = 4;
      load->observe(observation);
    }
  }
  return load->tables();
}

TEST(LoadAnalysis, MatchesTheGoldenFileWhateverTheBatches) {
  const auto golden = testing::read_golden("domain_load.json");
  for (const size_t batch_size : {1, 3, 16}) {
    const auto tables = tables_of(golden, batch_size);
    const auto& load = table_of(tables, "load");
    const auto near = [&](const Table& table, size_t row, const std::string& column, const Json& need) {
      testing::expect_close(table.rows[row][table.column(column)].as_double(), need.as_double(), golden.rtol, golden.atol, column);
    };
    size_t row = 0;
    for (const auto& [name, figures] : golden.outputs.at("figures").as_object()) {
      for (const char* column : {"mri", "entropy", "cv", "max_share", "dead"}) near(load, row, column, figures.at("all").at(column));
      near(load, row, "above_twice_uniform", figures.at("all").at("above"));
      near(load, row, "below_half_uniform", figures.at("all").at("below"));
      near(load, row, "top1_max_share", figures.at("first").at("mri"));
      near(load, row, "top1_entropy", figures.at("first").at("entropy"));
      near(load, row, "mri_low", figures.at("interval").at("low"));
      near(load, row, "mri_high", figures.at("interval").at("high"));
      near(load, row, "effective_tokens", figures.at("interval").at("effective_tokens"));
      ++row;
    }
    ASSERT_EQ(row, load.rows.size());
    const auto& similar = table_of(tables, "domain_similarity");
    for (const char* column : {"correlation", "overlap", "top1_correlation", "top1_overlap"}) near(similar, 0, column, golden.outputs.at("similarity").at(column));
  }
}

TEST(LoadAnalysis, PaddingIsNotCounted) {
  const Json window = Json::parse("[[0, 1], [0, 2], [3, 1]]", "window");
  AnalysisInput input;
  input.data = {{"a", 2}};
  input.layers = {{0, 4, 2}};
  auto load = make_load_analysis(input);
  Observation observation;
  observation.input_ids = at::zeros({1, 3}, at::kLong);
  observation.is_padding = at::tensor({0, 0, 1}).to(at::kBool).view({1, 3});
  observation.routing = {decision({&window}, 4, 2)};
  observation.routing[0].is_padding = observation.is_padding[0];
  load->observe(observation);
  const auto tables = load->tables();
  const auto& table = table_of(tables, "load");
  EXPECT_DOUBLE_EQ(table.rows[0][table.column("mri")].as_double(), 1.0);
  EXPECT_DOUBLE_EQ(table.rows[0][table.column("top1_max_share")].as_double(), 1.0);
  EXPECT_EQ(table.rows[0][table.column("tokens")].as_int(), 2);
  EXPECT_EQ(table.rows[0][table.column("dead")].as_int(), 1);
}

TEST(LoadAnalysis, TokensMayHaveAnyNumberOfExperts) {
  const Json window = Json::parse("[[1], [], [2, 1, 0], []]", "window");
  AnalysisInput input;
  input.data = {{"a", 4}};
  input.layers = {{0, 3, 1}};
  auto load = make_load_analysis(input);
  Observation observation;
  observation.input_ids = at::zeros({1, 4}, at::kLong);
  observation.routing = {decision({&window}, 3, 1)};
  load->observe(observation);
  const auto tables = load->tables();
  const auto& table = table_of(tables, "load");
  EXPECT_DOUBLE_EQ(table.rows[0][table.column("mri")].as_double(), 0.5);
  EXPECT_DOUBLE_EQ(table.rows[0][table.column("top1_max_share")].as_double(), 0.25);
  EXPECT_TRUE(table.rows[0][table.column("mri_chance")].is_null());
}

TEST(LoadAnalysis, ASetWithoutABatchHasNoRows) {
  AnalysisInput input;
  input.data = {{"a", 0}};
  input.layers = {{0, 3, 1}};
  EXPECT_TRUE(make_load_analysis(input)->tables()[0].table.rows.empty());
}

}  // namespace
}  // namespace evenkeel::analysis
