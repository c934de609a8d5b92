#include "core/columns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/files.h"

namespace evenkeel {
namespace {

using ::testing::ElementsAre;

enum class Colour { red, blue };
std::span<const Named<Colour>> names_of(Colour) {
  static constexpr Named<Colour> names[] = {{"red", Colour::red}, {"blue", Colour::blue}};
  return names;
}

struct Inner {
  int64_t layer = 0;
  std::vector<double> load;
  static void visit_columns(auto& row, auto&& visit) {
    visit("layer", row.layer);
    visit("load", row.load, kLeftOutWhenEmpty);
  }
};
struct Outer {
  std::string name;
  Colour colour = Colour::red;
  double loss = 0;
  std::optional<double> se;
  std::vector<Inner> layers;
  std::vector<std::pair<std::string, int64_t>> sources;
  static void visit_columns(auto& row, auto&& visit) {
    visit("name", row.name);
    visit("colour", row.colour);
    visit("loss", row.loss, "nats");
    visit("se", row.se, "nats");
    visit("layers", row.layers);
    visit("sources", row.sources);
  }
};
struct Row {
  std::string arm;
  std::optional<int64_t> layer;
  bool is_over = false;
  static void visit_columns(auto& row, auto&& visit) {
    visit("arm", row.arm);
    visit("layer", row.layer, "layers");
    visit("is_over", row.is_over);
  }
};

TEST(Columns, AreWrittenInTheirOrderAndReadBack) {
  const Outer row{"a", Colour::blue, 0.1, std::nullopt, {{0, {0.5, 0.5}}, {2, {}}}, {{"old", 3}, {"new", 1}}};
  const std::string text = to_json(row).dump();
  EXPECT_EQ(
      text,
      R"({"name":"a","colour":"blue","loss":0.1,"se":null,"layers":[{"layer":0,"load":[0.5,0.5]},{"layer":2}],"sources":{"old":3,"new":1}})");
  const auto back = row_from_json<Outer>(Json::parse(text, "t"), "t");
  EXPECT_EQ(to_json(back).dump(), text);
  EXPECT_EQ(back.colour, Colour::blue);
  EXPECT_EQ(back.sources[0].second, 3);
}

TEST(Columns, AnOptionalOneMayBeMissing) {
  EXPECT_EQ(row_from_json<Outer>(
                Json::parse(R"({"name":"a","colour":"red","loss":1,"layers":[],"sources":{},"later":1})", "t"), "t")
                .se,
            std::nullopt);
}

TEST(Columns, OfAnotherKindAreRefusedByName) {
  const auto message = [](const char* text) {
    return testing::message_of<DataError>([&] { row_from_json<Outer>(Json::parse(text, "t"), "f, line 2"); });
  };
  EXPECT_EQ(message("[]"), "f, line 2: got array as a line; need an object");
  EXPECT_EQ(message(R"({"colour":"red"})"), "f, line 2: got no 'name'; need it");
  EXPECT_EQ(message(R"({"name":1})"), "f, line 2: got integer as 'name'; need a text");
  EXPECT_EQ(message(R"({"name":"a","colour":"grey"})"), "f, line 2: got 'grey' as 'colour'; need one of: red, blue");
  EXPECT_EQ(message(R"({"name":"a","colour":"red","loss":"x"})"), "f, line 2: got string as 'loss'; need a number");
  EXPECT_EQ(message(R"({"name":"a","colour":"red","loss":1,"layers":[{"layer":1.5}],"sources":{}})"),
            "f, line 2: got number as 'layer'; need an integer");
  EXPECT_EQ(message(R"({"name":"a","colour":"red","loss":1,"layers":[1],"sources":{}})"),
            "f, line 2: got integer as an entry of 'layers'; need an object");
  EXPECT_EQ(message(R"({"name":"a","colour":"red","loss":1,"layers":[],"sources":{"x":null}})"),
            "f, line 2: got null as 'sources' of 'x'; need an integer");
}

TEST(Columns, MakeTheRowsOfATable) {
  Table table;
  table.columns = columns_of<Row>();
  EXPECT_EQ(table.columns[1].name, "layer");
  EXPECT_EQ(table.columns[1].unit, "layers");
  add_row(table, Row{"a", std::nullopt, true});
  add_row(table, Row{"b", 3, false});
  EXPECT_THAT(table.rows[0], ElementsAre(Json("a"), Json(), Json(true)));
  const auto back = rows_of<Row>(table);
  ASSERT_EQ(back.size(), 2u);
  EXPECT_EQ(back[0].layer, std::nullopt);
  EXPECT_EQ(back[1].layer, 3);
  table.columns[2].name = "other";
  EXPECT_THROW(rows_of<Row>(table), DataError);
}

}  // namespace
}  // namespace evenkeel
