#include "core/json.h"

#include <bit>
#include <cmath>
#include <limits>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/rng.h"
#include "support/files.h"

namespace evenkeel {
namespace {

using ::testing::HasSubstr;

Json parse(std::string_view text) { return Json::parse(text, "file.json"); }

// Events as one line: {} [] for containers, 'k: for keys, values as they are dumped.
class Transcript : public JsonEvents {
 public:
  void open_object() override { text += "{ "; }
  void close_object() override { text += "} "; }
  void open_array() override { text += "[ "; }
  void close_array() override { text += "] "; }
  void key(std::string&& name) override { text += name + ": "; }
  void value(Json&& plain) override { text += plain.dump() + " "; }
  std::string text;
};

TEST(Json, KeepsTheOrderOfKeysAndTheKindOfNumbers) {
  const Json json = parse(R"({"b": 1, "a": [1.5, true, null, "x"], "c": {}})");
  EXPECT_EQ(json.dump(), R"({"b":1,"a":[1.5,true,null,"x"],"c":{}})");
  EXPECT_TRUE(json.at("b").is_integer());
  EXPECT_FALSE(json.at("a").at(0).is_integer());
  EXPECT_EQ(json.at("b").as_double(), 1.0);
}

TEST(Json, DoublesReadBackToTheSameBits) {
  RngStream rng(1, "doubles");
  std::vector<double> values = {0.1,
                                1.0 / 3,
                                1e-320,
                                5e-324,
                                1.7976931348623157e308,
                                2.2250738585072014e-308,
                                123456789012345680.0,
                                1e21,
                                1e22,
                                9007199254740993.0,
                                18446744073709551616.0,
                                -1e19,
                                3.0,
                                -0.0,
                                0.0};
  for (int i = 0; i < 20000; ++i) {
    const double value = std::bit_cast<double>(rng.next());
    if (std::isfinite(value)) values.push_back(value);
  }
  for (const double value : values) {
    const double again = parse(Json(value).dump()).as_double();
    ASSERT_EQ(std::bit_cast<uint64_t>(again), std::bit_cast<uint64_t>(value)) << Json(value).dump();
  }
}

TEST(Json, KeepsAll64BitsOfIntegers) {
  for (const int64_t value :
       {INT64_MAX, INT64_MIN, INT64_MAX - 1, int64_t{9007199254740993}, int64_t{0}, int64_t{-1}}) {
    const Json again = parse(Json(value).dump());
    EXPECT_TRUE(again.is_integer());
    EXPECT_EQ(again.as_int(), value);
  }
  EXPECT_EQ(parse("9223372036854775808").as_double(), 9223372036854775808.0);  // beyond: a double
}

TEST(Json, WritesNonFiniteNumbersAsNull) {
  for (const double value :
       {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()})
    EXPECT_EQ(Json(value).dump(), "null");
}

TEST(Json, EscapesWhatMustBeEscaped) {
  const std::string text = "quote \" backslash \\ tab \t newline \n nul " + std::string(1, '\0') + " é 語 \U0001F600";
  const std::string written = Json(text).dump();
  EXPECT_THAT(written, HasSubstr("quote \\\" backslash \\\\ tab \\t newline \\n nul \\u0000 é"));
  EXPECT_EQ(parse(written).as_string(), text);
  EXPECT_EQ(parse(R"("\u00e9\ud83d\ude00\/")").as_string(), "é\U0001F600/");
  Json keyed = Json::object();
  keyed["a\"b"] = 1;
  EXPECT_EQ(parse(keyed.dump()), keyed);
  EXPECT_NO_THROW(parse(Json(std::string("\xff\xfe")).dump()));  // invalid UTF-8 is repaired, so that readers can read
}

TEST(Json, IndentsObjectsAndKeepsPlainArraysOnALine) {
  const Json json = parse(R"({"a":[1,2],"b":[{"c":1},{"c":2}],"d":{},"e":[]})");
  EXPECT_EQ(json.dump(2),
            "{\n  \"a\": [1, 2],\n  \"b\": [\n    {\n      \"c\": 1\n    },\n    {\n      \"c\": 2\n    }\n  ],\n  "
            "\"d\": {},\n  \"e\": []\n}");
  EXPECT_EQ(parse(json.dump(2)), json);
}

TEST(Json, ErrorsNameFileAndByte) {
  EXPECT_THAT(testing::message_of<DataError>([] { parse("{\"a\": 1,}"); }),
              HasSubstr("file.json: got text that is not JSON at byte 9"));
  for (const auto* text : {"", " ", "{", "[1,", "nul", "1 2", "{'a':1}", "[1e]", "NaN", "\"\\x\"", "\"a\nb\"", "\xff",
                           "{\"a\":1}}", "01", "1e999"})
    EXPECT_THROW(parse(text), DataError) << text;
}

TEST(Json, SaysThatThereIsNothing) {
  for (const auto* text : {"", " ", "\n\t\n"})
    EXPECT_EQ(testing::message_of<DataError>([&] { parse(text); }),
              "file.json: got an empty text; need a JSON document");
  for (const auto* text : {"[", "{\"a\":", "-", "\"a"})
    EXPECT_THAT(testing::message_of<DataError>([&] { parse(text); }), HasSubstr("got text that is not JSON at byte"))
        << text;
}

TEST(Json, RefusesWhatStandsAfterAZeroByte) {
  for (const std::string& text : {std::string("{\"a\":1}\0{\"b\":2}", 15), std::string("{\"a\":1}\0", 8),
                                  std::string("1\0", 2), std::string("\0", 1)}) {
    const std::string need =
        "file.json: got a zero byte, which is not JSON, at byte " + std::to_string(text.find('\0') + 1);
    EXPECT_THAT(testing::message_of<DataError>([&] { parse(text); }), HasSubstr(need));
    std::istringstream in(text);
    Transcript events;
    EXPECT_THAT(testing::message_of<DataError>([&] { read_json_events(in, "file.json", events); }), HasSubstr(need));
  }
}

TEST(Json, SaysThatNaNIsNoJson) {
  for (const auto* text : {"NaN", "{\"a\": Infinity}", "[-Infinity]"})
    EXPECT_THAT(testing::message_of<DataError>([&] { parse(text); }), HasSubstr("JSON has no NaN")) << text;
}

TEST(Json, RefusesAKeyThatStandsTwiceInOneObject) {
  EXPECT_THAT(testing::message_of<DataError>([] { Json::parse(R"({"a": 1, "b": {"c": 1, "c": 2}})", "f.json"); }),
              HasSubstr("f.json: got the key 'c' twice in one object"));
  EXPECT_NO_THROW(Json::parse(R"([{"a": {"a": 1}}, {"a": 2}])", "f.json"));
}

TEST(Json, SaysThatANumberIsTooLarge) {
  EXPECT_THAT(testing::message_of<DataError>([] { Json::parse(R"({"a": 1e400})", "f.json"); }),
              HasSubstr("f.json: got the number 1e400 at byte 11; need one that fits a double"));
}

TEST(Json, BoundsTheDepth) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(parse(nested(200)));
  EXPECT_THAT(testing::message_of<DataError>([&] { parse(nested(201)); }), HasSubstr("nested deeper than 200"));
  EXPECT_THROW(parse(std::string(1000000, '[')), DataError);  // no stack overflow
  EXPECT_THROW(parse(std::string(1000000, '{')), DataError);
}

TEST(Json, AccessorsNameTheKinds) {
  EXPECT_THAT(testing::message_of<DataError>([] { Json("x").as_int(); }), HasSubstr("got string; need integer"));
  EXPECT_THAT(testing::message_of<DataError>([] { Json(1.5).as_int(); }), HasSubstr("got number; need integer"));
  EXPECT_THROW(Json().as_bool(), DataError);
  EXPECT_THROW(Json(1).as_string(), DataError);
  EXPECT_THROW(Json(1).as_array(), DataError);
  EXPECT_THROW(Json(1).as_object(), DataError);
  EXPECT_THAT(testing::message_of<DataError>([] { Json::object().at("loss"); }), HasSubstr("'loss'"));
  EXPECT_THROW(Json::array().at(size_t{0}), DataError);
  EXPECT_EQ(Json(1).find("a"), nullptr);
}

TEST(Json, NullGrowsIntoObjectsAndArrays) {
  Json json;
  json["list"].push_back(1);
  json["list"].push_back("two");
  EXPECT_EQ(json.dump(), R"({"list":[1,"two"]})");
  EXPECT_EQ(json.at("list").size(), 2u);
}

TEST(Json, EraseLeavesWhatHasAnotherKey) {
  Json json = Json::parse(R"({"a":1,"b":{"a":2},"c":3})", "text");
  json.erase("a");
  json.erase("absent");
  EXPECT_EQ(json.dump(), R"({"b":{"a":2},"c":3})");
  Json number = 1;
  number.erase("a");
  EXPECT_EQ(number.dump(), "1");
}

TEST(JsonEvents, TellTheTextInItsOrder) {
  Transcript events;
  std::istringstream in(R"({"b": [1, -2.5, {}], "a": null, "c": {"d": [[true], "x"]}})");
  read_json_events(in, "file.json", events);
  EXPECT_EQ(events.text, "{ b: [ 1 -2.5 { } ] a: null c: { d: [ [ true ] \"x\" ] } } ");
}

TEST(JsonEvents, RefuseWhatParseRefuses) {
  for (const std::string text : {"{", "[1,]", "{\"a\": 1} 2", "\xff", "{\"a\": 1e}"}) {
    Transcript events;
    std::istringstream in(text);
    EXPECT_THAT(testing::message_of<DataError>([&] { read_json_events(in, "file.json", events); }),
                HasSubstr("file.json: got text that is not JSON at byte"))
        << text;
  }
  Transcript events;
  std::istringstream deep(std::string(201, '['));
  EXPECT_THAT(testing::message_of<DataError>([&] { read_json_events(deep, "file.json", events); }),
              HasSubstr("nested deeper than 200"));
}

}  // namespace
}  // namespace evenkeel
