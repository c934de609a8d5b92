#include "core/foreign_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"

namespace evenkeel {
namespace {

using ::testing::HasSubstr;

std::string read(std::string_view text) { return parse_foreign_json(text, "config.json").dump(); }

// How often it began anew, and the plain values since then.
class Values : public RestartableEvents {
 public:
  void restart() override {
    ++n_restarts;
    text.clear();
  }
  void open_object() override {}
  void close_object() override {}
  void open_array() override {}
  void close_array() override {}
  void key(std::string&&) override {}
  void value(Json&& plain) override { text += plain.dump() + " "; }
  int n_restarts = 0;
  std::string text;
};

TEST(ForeignJson, TakesTheNumbersThatPythonWrites) {
  EXPECT_EQ(read(R"({"a": NaN, "b": [Infinity, -Infinity, 1]})"), R"({"a":"NaN","b":["Infinity","-Infinity",1]})");
  EXPECT_EQ(read(R"({"NaN": "Infinity \" NaN"})"), R"({"NaN":"Infinity \" NaN"})");
}

TEST(ForeignJson, TakesHalvesOfSurrogatePairs) {
  EXPECT_EQ(read(R"(["\ud83d", "\uDE00x", "\ud83d\ud83d\ude00", "\\ud83d"])"),
            "[\"\uFFFD\",\"\uFFFDx\",\"\uFFFD\U0001F600\",\"\\\\ud83d\"]");
  Values values;
  EXPECT_EQ(read_foreign_json(R"([1, "\ud83d\ude00", "\udc00\ud800"])", "x", values), 2);
  EXPECT_EQ(values.text, "1 \"\U0001F600\" \"\uFFFD\uFFFD\" ");
  EXPECT_EQ(values.n_restarts, 1);
}

TEST(ForeignJson, ReadsWhatIsJsonOnce) {
  Values values;
  EXPECT_EQ(read_foreign_json(R"({"a": [1, 2]})", "x", values), 0);
  EXPECT_EQ(values.n_restarts, 0);
}

TEST(ForeignJson, TakesTheFirstOfAKeyThatStandsTwice) {
  EXPECT_EQ(parse_foreign_json(R"({"a": 1, "a": 2})", "x").at("a"), Json(1));
  EXPECT_EQ(parse_foreign_json(R"({"a": NaN, "a": 2})", "x").at("a"), Json("NaN"));
}

TEST(ForeignJson, RefusesDamage) {
  EXPECT_EQ(testing::message_of<DataError>([&] { read(""); }), "config.json: got an empty text; need a JSON document");
  for (const auto* text : {"NaNa", "nan", "{\"a\": Inf}", "[NaN", "\"\\ud8\"", "+Infinity", "{\"a\": 1}\n{\"b\": NaN}"})
    EXPECT_THAT(testing::message_of<DataError>([&] { read(text); }),
                HasSubstr("config.json: got text that is not JSON at byte"))
        << text;
  EXPECT_THAT(testing::message_of<DataError>([] { read(std::string_view("{\"a\": NaN}\0", 11)); }),
              HasSubstr("got a zero byte"));
}

}  // namespace
}  // namespace evenkeel
