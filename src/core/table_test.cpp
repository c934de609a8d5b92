#include "core/table.h"

#include <gtest/gtest.h>

#include "core/errors.h"

namespace evenkeel {
namespace {

Table small_table() {
  Table table;
  table.columns = {{"data", ""}, {"loss", "nat"}};
  table.add_row({"en", 0.1});
  table.add_row({"a \"b\", c\nd", Json()});
  return table;
}

TEST(Table, CsvQuotesAndKeepsEveryDigit) {
  EXPECT_EQ(to_csv(small_table()), "data,loss [nat]\r\nen,0.1\r\n\"a \"\"b\"\", c\nd\",\r\n");
  Table table;
  table.columns = {{"x", ""}};
  EXPECT_EQ(to_csv(table), "x\r\n");
  table.add_row({1.0 / 3});
  EXPECT_EQ(to_csv(table), "x\r\n0.3333333333333333\r\n");
}

TEST(Table, ReadsBackWhatItWrites) {
  Table table = small_table();
  EXPECT_EQ(to_json(table_from_json(to_json(table))), to_json(table));
  table.chance = 0.125;
  table.tokens = 4096;
  table.source = "paper, eq. 3";
  const Table again = table_from_json(Json::parse(to_json(table).dump(), "x"));
  EXPECT_EQ(again.chance, 0.125);
  EXPECT_EQ(again.tokens, 4096);
  EXPECT_EQ(again.source, "paper, eq. 3");
  EXPECT_EQ(again.rows, table.rows);
}

TEST(Table, RefusesRowsAndColumnsThatDoNotFit) {
  Table table = small_table();
  EXPECT_THROW(table.add_row({"one"}), std::logic_error);
  EXPECT_EQ(table.column("loss"), 1u);
  EXPECT_THROW(table.column("perplexity"), DataError);
  Json json = to_json(table);
  json.find("rows")->push_back(Json::array());
  EXPECT_THROW(table_from_json(json), DataError);
  EXPECT_THROW(table_from_json(Json::object()), DataError);
  EXPECT_THROW(table_from_json(Json(3)), DataError);
}

}  // namespace
}  // namespace evenkeel
