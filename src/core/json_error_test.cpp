#include "core/json_error.h"

#include <gtest/gtest.h>

#include "core/json_lines.h"
#include "support/files.h"

namespace evenkeel {
namespace {

TEST(JsonError, NamesTheKeysThatLeadToTheValue) {
  const Json document = Json::parse(R"({"a": {"b": [1, {"c": null}]}, "d": [[2.5]]})", "t");
  const auto message = [&](auto&& use) {
    return testing::message_of<DataError>([&] { with_path("f.json", document, use); });
  };
  EXPECT_EQ(message([&] { return document.at("a").at("b").at(1).at("c").as_int(); }),
            "f.json: a.b[1].c: got null; need integer");
  EXPECT_EQ(message([&] { return document.at("a").at("b").at(1).at("x").as_int(); }),
            "f.json: a.b[1]: got no key 'x'; need it");
  EXPECT_EQ(message([&] { return document.at("a").at("b").at(2).as_int(); }),
            "f.json: a.b: got an array of 2; need more than 2");
  EXPECT_EQ(message([&] { return document.at("d").at(0).at(0).as_int(); }),
            "f.json: d[0][0]: got number; need integer");
  EXPECT_EQ(message([&] { return document.at("x").as_int(); }), "f.json: got no key 'x'; need it");
  EXPECT_EQ(message([&] { return document.as_string().size(); }), "f.json: got object; need string");
  const Json other("text");  // of no document: the file is named at least
  EXPECT_EQ(message([&] { return other.as_int(); }), "f.json: got string; need integer");
}

}  // namespace
}  // namespace evenkeel
