#include "analysis/analyses/load_tables.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::analysis {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

LayerLoad layer_load(int64_t layer, int64_t top_k, int64_t n_tokens, std::vector<int64_t> counts,
                     std::vector<int64_t> first = {}) {
  LayerLoad load;
  load.assignments = {layer, static_cast<int64_t>(counts.size()), top_k, n_tokens, 0, counts};
  load.first_choices = std::move(first);
  return load;
}

const Table& table_of(const std::vector<NamedTable>& tables, const std::string& name) {
  for (const auto& table : tables)
    if (table.name == name) return table.table;
  throw std::logic_error("no table " + name);
}

Json cell(const Table& table, size_t row, const std::string& column) {
  return table.rows.at(row).at(table.column(column));
}

std::vector<std::string> names(const Table& table, size_t n) {
  std::vector<std::string> out;
  for (size_t i = 0; i < n; ++i) out.push_back(table.columns[i].name);
  return out;
}

TEST(LoadTables, ColumnsOfTheContractComeFirst) {
  const auto tables = load_tables({{"a", {layer_load(0, 1, 4, {3, 1})}}});
  EXPECT_THAT(names(table_of(tables, "load"), 6), ElementsAre("layer", "domain", "mri", "entropy", "cv", "max_share"));
  EXPECT_THAT(names(table_of(tables, "domain_specialization"), 5),
              ElementsAre("layer", "domain", "expert", "share_of_tokens", "share_of_assignments"));
  EXPECT_THAT(names(table_of(tables, "domain_similarity"), 5),
              ElementsAre("layer", "domain_a", "domain_b", "correlation", "overlap"));
}

TEST(LoadTables, ByHand) {
  // Two tokens of k = 2 among 4: a has shares 1/2, 1/4, 1/4, 0 and MRI 1; b is its mirror.
  const auto tables = load_tables({{"a", {layer_load(3, 2, 2, {2, 1, 1, 0}, {1, 1, 0, 0})}},
                                   {"b", {layer_load(3, 2, 2, {0, 1, 1, 2}, {0, 0, 0, 2})}}});
  const auto& load = table_of(tables, "load");
  EXPECT_EQ(cell(load, 0, "layer").as_int(), 3);
  EXPECT_DOUBLE_EQ(cell(load, 0, "mri").as_double(), 1.0);
  EXPECT_DOUBLE_EQ(cell(load, 0, "entropy").as_double(), 0.75);  // (1/2 ln 2 + 2 / 4 ln 4) / ln 4
  EXPECT_DOUBLE_EQ(cell(load, 0, "max_share").as_double(), 0.5);
  EXPECT_DOUBLE_EQ(cell(load, 0, "lower_bound").as_double(), 0.5);
  EXPECT_EQ(cell(load, 0, "dead").as_int(), 1);
  EXPECT_EQ(cell(load, 0, "above_twice_uniform").as_int(), 0);  // 1/2 is twice, not more
  EXPECT_EQ(cell(load, 0, "below_half_uniform").as_int(), 1);
  EXPECT_DOUBLE_EQ(cell(load, 0, "top1_max_share").as_double(), 0.5);
  EXPECT_DOUBLE_EQ(cell(load, 1, "top1_max_share").as_double(), 1.0);
  EXPECT_EQ(*load.tokens, 4);
  const auto& special = table_of(tables, "domain_specialization");
  EXPECT_DOUBLE_EQ(cell(special, 1, "share_of_tokens").as_double(), 0.5);
  EXPECT_DOUBLE_EQ(cell(special, 1, "share_of_assignments").as_double(), 0.25);
  EXPECT_DOUBLE_EQ(cell(special, 1, "top1_share").as_double(), 0.5);
  EXPECT_DOUBLE_EQ(*special.chance, 0.5);  // k / E
  const auto& similar = table_of(tables, "domain_similarity");
  ASSERT_EQ(similar.rows.size(), 1u);
  EXPECT_DOUBLE_EQ(cell(similar, 0, "correlation").as_double(), -1.0);
  EXPECT_DOUBLE_EQ(cell(similar, 0, "overlap").as_double(), 0.5);
}

TEST(LoadTables, ChanceIsThatOfTheTokensAtHandNotTheLowerBound) {
  // papers.md, A3: uniform random routing of 2,048 tokens to one of 8 has an MRI of 0.136.
  const std::vector<int64_t> counts(8, 256);
  const auto tables = load_tables({{"a", {layer_load(0, 1, 2048, counts)}}, {"b", {layer_load(0, 1, 2048, counts)}}});
  const auto& load = table_of(tables, "load");
  EXPECT_NEAR(*load.chance, 0.136, 5e-4);
  EXPECT_DOUBLE_EQ(cell(load, 0, "mri").as_double(), 0.125);
  EXPECT_NEAR(*table_of(tables, "domain_similarity").chance, 0.965,
              5e-3);  // 1 - 4 sqrt(2 / pi) sqrt(2 * 7 / 64 / 2048)
  const auto two =
      load_tables({{"a", {layer_load(0, 1, 2048, counts)}}, {"b", {layer_load(0, 1, 8, {1, 1, 1, 1, 1, 1, 1, 1})}}});
  EXPECT_FALSE(table_of(two, "load").chance);  // one column of the row, since the sets differ in size
  EXPECT_GT(cell(table_of(two, "load"), 1, "mri_chance").as_double(), 0.25);
}

TEST(LoadTables, ChanceOfEntropyAndCvIsThatOfTheTokensAtHand) {
  // Two tokens to one of 8 each: ln 2 with probability 7/8; shares 1, or 1/2 1/2: a cv of sqrt(7), or sqrt(3).
  const auto two = table_of(load_tables({{"a", {layer_load(0, 1, 2, {1, 1, 0, 0, 0, 0, 0, 0})}}}), "load");
  EXPECT_NEAR(cell(two, 0, "entropy_chance").as_double(), 7.0 / 24, 1e-14);
  EXPECT_NEAR(cell(two, 0, "cv_chance").as_double(), (std::sqrt(7) + 7 * std::sqrt(3)) / 8,
              0.01 * 1.85);  // simulated, within 1 %
  const auto many =
      table_of(load_tables({{"a", {layer_load(0, 1, 8'000'000, std::vector<int64_t>(8, 1'000'000))}}}), "load");
  EXPECT_NEAR(cell(many, 0, "entropy_chance").as_double(), 1.0, 1e-6);
  EXPECT_NEAR(cell(many, 0, "cv_chance").as_double(), 0.0, 1e-3);
}

TEST(LoadTables, UnknownTokensLeaveColumnsEmpty) {
  auto load = layer_load(0, 0, 0, {3, 1});
  load.knows_drops = false;
  const auto tables = load_tables({{"a", {load}}});
  const auto& table = table_of(tables, "load");
  for (const char* column : {"entropy_chance", "cv_chance", "mri", "mri_chance", "mri_low", "mri_high",
                             "effective_tokens", "tokens", "dropped", "top1_max_share"})
    EXPECT_TRUE(cell(table, 0, column).is_null()) << column;
  EXPECT_DOUBLE_EQ(cell(table, 0, "max_share").as_double(), 0.75);
  EXPECT_FALSE(table.tokens || table.chance);
  const auto& special = table_of(tables, "domain_specialization");
  EXPECT_TRUE(cell(special, 0, "share_of_tokens").is_null());
  EXPECT_TRUE(cell(special, 0, "share_of_tokens_low").is_null());
  EXPECT_DOUBLE_EQ(*special.chance, 0.5);  // of the assignments
}

TEST(LoadTables, RoutersWithoutExactlyKHaveNoChance) {
  auto other = layer_load(0, 2, 4, {4, 2, 0, 2});
  other.gives_k = false;
  const auto tables = load_tables({{"a", {other}}});
  for (const char* column : {"mri_chance", "entropy_chance", "cv_chance"})
    EXPECT_TRUE(cell(table_of(tables, "load"), 0, column).is_null()) << column;
  EXPECT_DOUBLE_EQ(cell(table_of(tables, "load"), 0, "mri").as_double(), 1.0);
}

TEST(LoadTables, LayersThatOnlyOneSetHasAreNotCompared) {
  const auto tables = load_tables(
      {{"a", {layer_load(0, 1, 2, {1, 1}), layer_load(7, 1, 2, {1, 1})}}, {"b", {layer_load(7, 1, 2, {2, 0})}}});
  const auto& similar = table_of(tables, "domain_similarity");
  ASSERT_EQ(similar.rows.size(), 1u);
  EXPECT_EQ(cell(similar, 0, "layer").as_int(), 7);
  EXPECT_TRUE(cell(similar, 0, "correlation").is_null());  // a's load is constant
  EXPECT_EQ(table_of(tables, "load").rows.size(), 3u);
}

TEST(LoadTables, AnIntervalHoldsTheFigure) {
  auto load = layer_load(0, 1, 1000, {400, 300, 200, 100});
  load.windows = WindowSums{
      2, 500'000, {80'000, 45'000, 20'000, 5'000}, {200'000, 150'000, 100'000, 50'000}};  // two of 500 tokens, alike
  const auto tables = load_tables({{"a", {load}}});
  const auto& table = table_of(tables, "load");
  EXPECT_LT(cell(table, 0, "mri_low").as_double(), 0.4);
  EXPECT_GT(cell(table, 0, "mri_high").as_double(), 0.4);
  const auto& special = table_of(tables, "domain_specialization");
  EXPECT_LT(cell(special, 3, "share_of_tokens_low").as_double(), 0.1);
  EXPECT_GT(cell(special, 3, "share_of_tokens_high").as_double(), 0.1);
  EXPECT_THAT(table.source, StartsWith("MRI"));
}

TEST(LoadTables, CountsWithoutWindowsHaveNoIntervals) {
  const auto tables = load_tables(
      {{"a", {layer_load(0, 1, 1000, {400, 300, 200, 100})}}, {"b", {layer_load(0, 1, 1000, {100, 300, 200, 400})}}});
  for (const char* column :
       {"mri_low", "mri_high", "effective_tokens", "entropy_low", "entropy_high", "cv_low", "cv_high"})
    EXPECT_TRUE(cell(table_of(tables, "load"), 0, column).is_null()) << column;
  for (const char* column : {"share_of_tokens_low", "share_of_tokens_high"})
    EXPECT_TRUE(cell(table_of(tables, "domain_specialization"), 0, column).is_null()) << column;
  for (const char* column : {"correlation_low", "correlation_high", "overlap_low", "overlap_high"})
    EXPECT_TRUE(cell(table_of(tables, "domain_similarity"), 0, column).is_null()) << column;
  EXPECT_THAT(
      table_of(tables, "load").source,
      ::testing::HasSubstr("Published counts do not say which tokens stood together, so they have no intervals"));
}

}  // namespace
}  // namespace evenkeel::analysis
