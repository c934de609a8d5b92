#include "study/pair_figures.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/made_arms.h"
#include "support/made_lines.h"

namespace evenkeel::study {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::seeded_arm;
using ::testing::StartsWith;
using train::Arm;

const std::vector<std::string> kSinkhorn = {"model.router={kind = \"sinkhorn\"}"};

// A router against another in two seeds; phase one learns "a", phase two "b".
std::vector<Arm> two_routers() {
  return {seeded_arm("p", {}, 1), seeded_arm("s", kSinkhorn, 1), seeded_arm("p", {}, 2), seeded_arm("s", kSinkhorn, 2)};
}

// {losses on "b" at the end, errors by the text, forgetting of "a"} of each arm.
train::NamedTables tables_of(const std::vector<Arm>& arms, const std::vector<double>& losses,
                             const std::vector<double>& changes) {
  auto tables = train::new_tables();
  auto& forgetting = train::find_table(tables, "forgetting");
  auto& mri = train::find_table(tables, "eval_mri");
  for (size_t i = 0; i < arms.size(); ++i) {
    forgetting.add_row({arms[i].name, "two", "a", 3.0, 9.0, 9.0, 0.25, 9.0, changes[i], 0.25, "one"});
    forgetting.add_row({arms[i].name, "two", "b", losses[i], 9.0, Json(), 0.25, Json(), Json(), Json(), Json()});
    mri.add_row({arms[i].name, "two", "b", 0, 0.5, 0.9, 0, Json()});
    mri.add_row({arms[i].name, "two", "a", 0, 0.75, 0.9, 0, Json()});
  }
  return tables;
}

std::vector<std::string> names_of(const std::vector<PairFigure>& figures) {
  std::vector<std::string> out;
  for (const auto& figure : figures) out.push_back(figure.name + " " + figure.data);
  return out;
}

TEST(PairFigures, AreThoseThatBothSidesHave) {
  const auto arms = two_routers();
  const auto pairs = pairs_of(arms);
  ASSERT_EQ(pairs.size(), 1U);
  const auto figures =
      pair_figures(pairs[0], outcomes_of(arms, tables_of(arms, {2, 1, 2.5, 2}, {0.5, 0.25, 0.5, 0.25})));
  EXPECT_THAT(names_of(figures), ElementsAre("forgetting a", "loss b", "eval_mri b", "eval_mri a"));
  EXPECT_THAT(names_of(pair_figures(pairs[0], outcomes_of(arms, train::new_tables()))), IsEmpty());
  const std::vector<Arm> others = {seeded_arm("b", {}, 1),
                                   seeded_arm("c", {"phase.two.data=[{name = \"c\", path = \"/data/c\"}]"}, 1)};
  EXPECT_THAT(names_of(pair_figures(pairs_of(others).at(0), outcomes_of(others, tables_of(others, {1, 2}, {1, 2})))),
              IsEmpty());  // other data
  // Forgetting that is measured against other phases does not compare.
  auto outcomes = outcomes_of(arms, tables_of(arms, {2, 1, 2.5, 2}, {0.5, 0.25, 0.5, 0.25}));
  outcomes.at("s-seed1").against = "step 0";
  EXPECT_THAT(names_of(pair_figures(pairs[0], outcomes)), ElementsAre("loss b", "eval_mri b", "eval_mri a"));
}

TEST(PairFigures, TheTableHasMeansErrorsAndTheirDifference) {
  const auto arms = two_routers();
  auto tables = tables_of(arms, {2, 1, 3, 2.5}, {0.5, 0.25, 0.5, 0.25});
  add_pairs(arms, tables);
  const auto& table = train::find_table(tables, "pairs");
  ASSERT_EQ(table.rows.size(), 4U);
  const auto cell = [&](size_t row, const char* column) { return table.rows[row][table.column(column)]; };
  EXPECT_THAT(
      Json(table.rows[1]).dump(),
      StartsWith(R"(["s","p","routing","router sinkhorn in place of top_k","loss","b","nats/token",1.75,1.06)"));
  EXPECT_DOUBLE_EQ(cell(1, "value_error").as_double(), std::sqrt(1.125));  // 1 and 2.5 about 1.75
  EXPECT_EQ(cell(1, "reference_value").as_double(), 2.5);
  EXPECT_DOUBLE_EQ(cell(1, "reference_error").as_double(), std::sqrt(0.5));
  EXPECT_EQ(cell(1, "change").as_double(),
            -0.75);  // of -1 and -0.5: standard error 0.25, Student's t of one degree 12.706
  EXPECT_NEAR(cell(1, "low").as_double(), -0.75 - 12.706 * 0.25, 1e-3);
  EXPECT_NEAR(cell(1, "high").as_double(), -0.75 + 12.706 * 0.25, 1e-3);
  EXPECT_EQ(cell(1, "beyond_noise"), Json(false));
  EXPECT_EQ(cell(1, "n").as_int(), 2);
  EXPECT_EQ(cell(0, "value_error").as_double(), 0.25);  // seeds that agree: the error by the text
}

// Neither the imbalance nor its change vary over these two seeds: no interval of [0.25, 0.25].
TEST(PairFigures, PairsThatAllAgreeSaySoInPlaceOfAnInterval) {
  const auto arms = two_routers();
  auto tables = tables_of(arms, {2, 1, 3, 2.5}, {0.5, 0.25, 0.5, 0.25});
  add_pairs(arms, tables);
  const auto& table = train::find_table(tables, "pairs");
  for (const size_t row : {2U, 3U}) {
    EXPECT_EQ(table.rows[row][table.column("figure")].as_string(), "eval_mri");
    EXPECT_EQ(table.rows[row][table.column("n")].as_int(), 2);
    EXPECT_EQ(table.rows[row][table.column("all_equal")], Json(true));
    for (const char* column : {"low", "high", "beyond_noise"})
      EXPECT_TRUE(table.rows[row][table.column(column)].is_null()) << column;
  }
  EXPECT_EQ(table.rows[0][table.column("all_equal")], Json(false));  // forgetting: the text has an error
}

// Two seeds that differ by 64 and 60 tokens, evaluated every 64: a certain difference, were it not for the rhythm.
TEST(PairFigures, TokensWithinOneEvaluationIntervalAreNotBeyondNoise) {
  auto arms = two_routers();
  Table tokens;
  for (const char* name : {"arm", "data", "loss", "tokens", "reference"}) tokens.columns.push_back({name, ""});
  const std::vector<int64_t> reached = {192, 128, 188, 128};
  const auto verdict = [&](int64_t interval) {
    auto tables = tables_of(arms, {2, 1, 3, 2.5}, {0.5, 0.25, 0.5, 0.25});
    Table found = tokens;
    for (size_t i = 0; i < arms.size(); ++i) {
      arms[i].evaluations = {
          {1, "one", reached[i] - interval, {{"a", testing::made_result(4)}}},
          {2, "one", reached[i], {{"a", testing::made_result(3)}}},
      };
      found.rows.push_back({arms[i].name, "a", 3.5, reached[i], "p"});
    }
    tables.emplace_back("tokens_to_loss", found);
    add_pairs(arms, tables);
    const auto& table = train::find_table(tables, "pairs");
    for (const auto& row : table.rows)
      if (row[table.column("figure")] == Json("tokens_to_loss")) return row[table.column("beyond_noise")].dump();
    return std::string("none");
  };
  EXPECT_EQ(verdict(16), "true");  // 62 ± 12.7 · 2
  EXPECT_EQ(verdict(64), "false");
}

TEST(PairFigures, WithoutAnErrorThereIsNoInterval) {
  const std::vector<Arm> arms = {seeded_arm("p", {}, 1), seeded_arm("s", kSinkhorn, 1)};
  auto tables = train::new_tables();
  auto& mri = train::find_table(tables, "eval_mri");
  mri.add_row({"p-seed1", "two", "b", 0, 0.5, 0.9, 0, Json()});
  mri.add_row({"s-seed1", "two", "b", 0, 0.75, 0.9, 0, Json()});
  add_pairs(arms, tables);
  ASSERT_EQ(train::find_table(tables, "pairs").rows.size(), 1U);
  EXPECT_EQ(
      Json(train::find_table(tables, "pairs").rows[0]).dump(),
      R"(["s","p","routing","router sinkhorn in place of top_k","eval_mri","b","share of tokens",0.75,null,0.5,null,0.25,null,null,null,1,false])");
}

}  // namespace
}  // namespace evenkeel::study
