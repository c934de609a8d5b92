#include <functional>

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "analysis/analyses/test_support.h"
#include "analysis/analysis.h"
#include "golden/golden.h"
#include "support/observations.h"

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
      while (first < windows.size() && batch.size() < batch_size &&
             windows[first].size() == windows[first - batch.size()].size())
        batch.push_back(&windows[first++]);
      Observation observation;
      observation.data = data;
      observation.input_ids =
          at::zeros({static_cast<int64_t>(batch.size()), static_cast<int64_t>(batch[0]->size())}, at::kLong);
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
      testing::expect_close(table.rows[row][table.column(column)].as_double(), need.as_double(), golden.rtol,
                            golden.atol, column);
    };
    size_t row = 0;
    for (const auto& [name, figures] : golden.outputs.at("figures").as_object()) {
      for (const char* column : {"mri", "entropy", "cv", "max_share", "dead"})
        near(load, row, column, figures.at("all").at(column));
      near(load, row, "above_twice_uniform", figures.at("all").at("above"));
      near(load, row, "below_half_uniform", figures.at("all").at("below"));
      near(load, row, "top1_max_share", figures.at("first").at("mri"));
      near(load, row, "top1_entropy", figures.at("first").at("entropy"));
      near(load, row, "mri_low", figures.at("interval").at("low"));
      near(load, row, "mri_high", figures.at("interval").at("high"));
      near(load, row, "effective_tokens", figures.at("interval").at("effective_tokens"));
      for (const std::string figure : {"entropy", "cv"}) {
        near(load, row, figure + "_low", figures.at(figure + "_interval").at(0));
        near(load, row, figure + "_high", figures.at(figure + "_interval").at(1));
      }
      ++row;
    }
    ASSERT_EQ(row, load.rows.size());
    const auto& similar = table_of(tables, "domain_similarity");
    for (const char* column : {"correlation", "overlap", "top1_correlation", "top1_overlap"})
      near(similar, 0, column, golden.outputs.at("similarity").at(column));
    for (const std::string figure : {"correlation", "overlap"}) {
      near(similar, 0, figure + "_low", golden.outputs.at("similarity").at(figure + "_interval").at(0));
      near(similar, 0, figure + "_high", golden.outputs.at("similarity").at(figure + "_interval").at(1));
    }
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

// Two data sets of 20 windows of 100 tokens, whose experts `of` gives for (data, token).
std::vector<NamedTable> two_languages(int64_t n_experts, int64_t top_k,
                                      const std::function<testing::Experts(int64_t data)>& of) {
  const auto input = testing::input_of({{0, n_experts, top_k}}, 9, 100, {"en", "de"});
  auto load = make_load_analysis(input);
  for (int64_t data = 0; data < 2; ++data) {
    auto batch =
        testing::batch_of(std::vector<int64_t>(2000, 1), 100, {testing::routing_of(of(data), n_experts, top_k)});
    batch.data = static_cast<size_t>(data);
    load->observe(batch);
  }
  return load->tables();
}

TEST(LoadAnalysis, GivesItsChanceUnderUniformRouting) {
  const int64_t E = 16, k = 4;
  const auto tables = two_languages(
      E, k, [&](int64_t data) { return testing::uniform_experts(2000, E, k, static_cast<uint64_t>(data) + 5); });
  const auto& load = table_of(tables, "load");
  const double error = std::sqrt(0.25 * 0.75 / 2000);  // of one expert's share of tokens
  for (const std::string name : {"en", "de"}) {
    const testing::Where where = {{"domain", name}};
    EXPECT_NEAR(testing::number_in(load, where, "mri"), testing::number_in(load, where, "mri_chance"), 4 * error);
    EXPECT_LE(testing::number_in(load, where, "mri_low"), 0.25 + 1e-12);  // the text's own MRI is k / E
    EXPECT_GE(testing::number_in(load, where, "mri_high"), 0.25);
    EXPECT_NEAR(testing::number_in(load, where, "top1_max_share"), testing::number_in(load, where, "top1_chance"),
                4 * error);
    EXPECT_NEAR(testing::number_in(load, where, "effective_tokens"), 2000,
                1000);  // independent tokens: a design effect of about 1
  }
  const auto& shares = table_of(tables, "domain_specialization");
  for (const auto& row : shares.rows) {
    EXPECT_NEAR(row[shares.column("share_of_tokens")].as_double(), row[shares.column("chance_of_tokens")].as_double(),
                4 * error);
    EXPECT_NEAR(row[shares.column("share_of_assignments")].as_double(),
                row[shares.column("chance_of_assignments")].as_double(), 4 * error / k);
    EXPECT_NEAR(row[shares.column("top1_share")].as_double(), 1.0 / 16, 4 * std::sqrt(15.0 / 256 / 2000));
  }
  const auto& similar = table_of(tables, "domain_similarity");
  EXPECT_NEAR(testing::number_in(similar, {}, "overlap"), testing::number_in(similar, {}, "overlap_chance"),
              0.01);  // L1 of 16 shares of .0024 each varies by .006
  EXPECT_NEAR(testing::number_in(similar, {}, "top1_overlap"), testing::number_in(similar, {}, "top1_overlap_chance"),
              0.03);
  EXPECT_LT(testing::number_in(similar, {}, "top1_overlap_chance"), testing::number_in(similar, {}, "overlap_chance"));
  EXPECT_NEAR(testing::number_in(similar, {}, "correlation"), 0.0, 4 / std::sqrt(15.0));
}

TEST(LoadAnalysis, FindsAnExpertForALanguage) {
  const auto tables = two_languages(4, 1, [](int64_t data) { return testing::Experts(2000, {data + 1}); });
  const auto& shares = table_of(tables, "domain_specialization");
  for (int64_t e = 0; e < 4; ++e) {
    EXPECT_DOUBLE_EQ(testing::number_in(shares, {{"domain", "en"}, {"expert", e}}, "share_of_tokens"),
                     e == 1 ? 1.0 : 0.0);
    EXPECT_DOUBLE_EQ(testing::number_in(shares, {{"domain", "de"}, {"expert", e}}, "share_of_tokens"),
                     e == 2 ? 1.0 : 0.0);
  }
  EXPECT_DOUBLE_EQ(testing::number_in(table_of(tables, "domain_similarity"), {}, "overlap"), 0.0);
  EXPECT_DOUBLE_EQ(testing::number_in(table_of(tables, "domain_similarity"), {}, "correlation"),
                   -1.0 / 3);  // (3, -1, -1, -1) and its shift, over 12
  EXPECT_EQ(testing::cell(table_of(tables, "load"), {{"domain", "en"}}, "dead"), Json(3));
  EXPECT_DOUBLE_EQ(testing::number_in(table_of(tables, "load"), {{"domain", "en"}}, "mri"), 1.0);
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

TEST(LoadAnalysis, IntervalsHoldTheChanceOfUniformRouting) {
  const auto make = [](uint64_t seed) {
    const testing::UniformShape shape;
    const auto load = make_load_analysis(testing::uniform_input(shape));
    load->observe(testing::uniform_batch(shape, seed));
    return table_of(load->tables(), "domain_specialization");
  };
  EXPECT_GE(testing::share_held(make, {{{"expert", 0}}, "share_of_tokens", "chance_of_tokens"}), testing::kLeastHeld);
}

// 20 windows of 50 tokens; those of a window go to expert 0 or to expert 1, by the window's topic, one time in two,
// else to one of the other four. The text's load is (25, 25, 12.5, 12.5, 12.5, 12.5) / 100, known from its rule; tokens
// taken one by one would give intervals a fifth as wide.
constexpr int64_t kTopicWindows = 20, kTopicTokens = 50, kTopicExperts = 6;
Table topical_table(uint64_t seed) {
  const auto load = make_load_analysis(testing::input_of({{0, kTopicExperts, 1}}, 9, kTopicTokens));
  RngStream rng(seed, "topics");
  testing::Experts experts;
  for (int64_t window = 0; window < kTopicWindows; ++window) {
    const auto topic = static_cast<int64_t>(rng.below(2));
    for (int64_t t = 0; t < kTopicTokens; ++t)
      experts.push_back({rng.below(2) == 0 ? topic : 2 + static_cast<int64_t>(rng.below(4))});
  }
  load->observe(testing::batch_of(std::vector<int64_t>(kTopicWindows * kTopicTokens, 1), kTopicTokens,
                                  {testing::routing_of(experts, kTopicExperts, 1)}));
  return table_of(load->tables(), "load");
}

TEST(LoadAnalysis, BootstrapIntervalsHoldTheTruthOfTopicalText) {
  const double quarter = 0.25, eighth = 0.125;
  const double entropy = -(2 * quarter * std::log(quarter) + 4 * eighth * std::log(eighth)) / std::log(6.0);
  const double cv = 6 * std::sqrt((2 * std::pow(quarter - 1.0 / 6, 2) + 4 * std::pow(eighth - 1.0 / 6, 2)) / 6);
  EXPECT_GE(testing::share_held(topical_table, {{}, "entropy", entropy}), testing::kLeastHeld);
  EXPECT_GE(testing::share_held(topical_table, {{}, "cv", cv}), testing::kLeastHeld);
}

TEST(LoadAnalysis, ChanceIsTheMeanOverUniformRouting) {
  double entropy = 0, cv = 0, entropy_chance = 0, cv_chance = 0;
  for (uint64_t seed = 1; seed <= testing::kTables; ++seed) {
    const testing::UniformShape shape{.n_windows = 3, .length = 20};
    const auto load = make_load_analysis(testing::uniform_input(shape));
    load->observe(testing::uniform_batch(shape, seed));
    const auto table = table_of(load->tables(), "load");
    entropy += testing::number_in(table, {}, "entropy") / testing::kTables;
    cv += testing::number_in(table, {}, "cv") / testing::kTables;
    entropy_chance = testing::number_in(table, {}, "entropy_chance");
    cv_chance = testing::number_in(table, {}, "cv_chance");
  }
  EXPECT_NEAR(cv / cv_chance, 1.0,
              0.07);  // four standard errors: a cv of 7 degrees of freedom varies by 27 %, and 1 % of the level
  EXPECT_NEAR((1 - entropy) / (1 - entropy_chance), 1.0,
              0.13);  // and what is missing of the entropy, its square, by 53 %
}

}  // namespace
}  // namespace evenkeel::analysis
