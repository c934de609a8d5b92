#include "data/json_field.h"

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

// The value at the path as JSON text.
std::string value_at(const std::string& path, std::string_view line) {
  return read_json_field(line, {path, "t.jsonl:3", " (skip)"}).value.dump();
}

std::string refusal(const std::string& path, std::string_view line) {
  return message_of<DataError>([&] { value_at(path, line); });
}

TEST(ReadJsonField, GoesIntoObjects) {
  EXPECT_EQ(value_at("a.b.c", R"({"x": [{"a": 1}], "a": {"z": {}, "b": {"c": "text", "d": 2}}, "c": 3})"), "\"text\"");
  EXPECT_EQ(value_at("a", R"({"b": {"a": 1}, "a": 2})"), "2");
  EXPECT_EQ(value_at("a..b", R"({"a": {"": {"b": 1}}})"), "1");  // a key may be empty
}

TEST(ReadJsonField, TakesAValueOfAnyKind) {
  for (const std::string value :
       {"null", "true", "17", "1.5", R"("text")", "[]", "{}",
        R"([{"role":"user","content":[1,{"a":{"b":2}}]},{"role":"assistant"}])", R"({"a":{"b":[1]},"b":3})"})
    for (const std::string path : {"a", "a.b"}) {
      const std::string inner = path == "a" ? value : "{\"b\":" + value + "}";
      EXPECT_EQ(value_at(path, "{\"before\": {\"b\": []}, \"a\": " + inner + ", \"after\": [1]}"), value) << path;
    }
}

TEST(ReadJsonField, FindsKeysWithDotsAndPrefersTheLongest) {
  EXPECT_EQ(value_at("a.b", R"({"a.b": 1})"), "1");
  EXPECT_EQ(value_at("a.b.c", R"({"a": {"b.c": 1}})"), "1");
  EXPECT_EQ(value_at("a.b.c", R"({"a.b": {"c": 1}})"), "1");
  // The order in the record does not matter.
  EXPECT_EQ(value_at("a.b", R"({"a.b": 1, "a": {"b": 2}})"), "1");
  EXPECT_EQ(value_at("a.b", R"({"a": {"b": 2}, "a.b": 1})"), "1");
  EXPECT_EQ(value_at("a.b.c", R"({"a": {"b.c": 1, "b": {"c": 2}}, "a.b": {"c": 3}})"), "3");
  EXPECT_EQ(value_at("a.b.c", R"({"a": {"b": {"c": 2}, "b.c": [1]}})"), "[1]");
  // One that leads nowhere is no reading.
  EXPECT_EQ(value_at("a.b.c", R"({"a.b": {"d": 1}, "a": {"b": {"c": 2}}})"), "2");
  EXPECT_EQ(value_at("a.b", R"({"a": [1], "a.b": 2})"), "2");
}

TEST(ReadJsonField, NamesWhatIsNoObjectOnTheWay) {
  EXPECT_EQ(refusal("a.b.c", R"({"a": {"b": [{"c": 1}]}})"),
            "t.jsonl:3: got array in field 'a.b'; need an object there, for the text field 'a.b.c' (--text-field) "
            "(skip)");
  EXPECT_THAT(refusal("a.b", R"({"a": "text"})"), HasSubstr("got string in field 'a'; need an object there"));
  EXPECT_THAT(refusal("a.b", R"({"a": null})"), HasSubstr("got null in field 'a'; need an object there"));
  EXPECT_THAT(refusal("a.b", R"({"a": {"c": 1}})"), HasSubstr("need the text field 'a.b' (--text-field) (skip)"));
  EXPECT_THAT(refusal("a.b", R"({"ab": {"b": 1}, "b": 1, "x": {"a": {"b": 1}}, "y": [{"a.b": 1}]})"),
              HasSubstr("need the text field 'a.b'"));
}

TEST(ReadJsonField, RefusesAFieldThatStandsTwice) {
  EXPECT_THAT(refusal("a", R"({"a": 1, "a": 1})"), HasSubstr("got the field 'a' twice in one record"));
  EXPECT_THAT(refusal("a", R"({"a": {}, "a": 1})"), HasSubstr("got the field 'a' twice in one record"));
  EXPECT_THAT(refusal("a.b", R"({"a": {"b": 1}, "a": {"b": 1}})"), HasSubstr("got the field 'a.b' twice"));
  EXPECT_THAT(refusal("a", R"({"a": [{"role": 1, "role": 2}]})"), HasSubstr("got the key 'role' twice"));
  EXPECT_EQ(value_at("a", R"({"a": 1, "b": 2, "b": 3})"), "1");  // what is not read may
}

TEST(ReadJsonField, BeginsAnewWhereJsonOfOtherWritersIsMended) {
  const std::string path = "a.b";
  const auto field = read_json_field(R"({"a": {"b": [1, NaN, "\ud83d"]}, "q": "\ude00"})", {path, "t.jsonl:1", ""});
  EXPECT_EQ(field.value.dump(), "[1,\"NaN\",\"\uFFFD\"]");
  EXPECT_EQ(field.n_surrogates, 2);
}

TEST(TextOf, TakesStringsAlone) {
  const std::string path = "a";
  const FieldPlace place{path, "t.jsonl:3", " (skip)"};
  const auto refused = [&](Json value) { return message_of<DataError>([&] { text_of({std::move(value)}, place); }); };
  EXPECT_EQ(text_of({Json("x")}, place), "x");
  EXPECT_EQ(refused(Json(17)), "t.jsonl:3: got integer \"17\" in field 'a'; need a string (skip)");
  EXPECT_EQ(refused(Json()), "t.jsonl:3: got null in field 'a'; need a string (skip)");
  EXPECT_THAT(refused(Json::array()), HasSubstr("got array in field 'a'"));
  EXPECT_THAT(refused(Json::object()), EndsWith("need a string (skip)"));
}

}  // namespace
}  // namespace evenkeel::data
