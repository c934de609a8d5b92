#include "core/config_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/files.h"

namespace evenkeel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Source {
  std::string name;
  double weight = 1.0;
  static void visit_fields(auto& c, auto&& field) {
    field("name", c.name, {"its name", "", kRequired});
    field("weight", c.weight, "its weight");
  }
};
struct Pair {
  int64_t first = 0;
  static void visit_fields(auto& c, auto&& field) { field("first", c.first, {"a number", "tokens"}); }
};
struct Sample {
  int64_t heads = 0;
  Duration every{0, Unit::steps};
  std::vector<Source> data;
  std::vector<Pair> pairs;
  std::optional<Source> one;
  std::vector<double> rates = {0.5};
  ConfigNode rest;
  static void visit_fields(auto& c, auto&& field) {
    field("heads", c.heads, {"heads of it", "heads", "as n_heads"});
    field("every", c.every, {"how often", "steps"});
    field("data", c.data, "sources");
    field("pairs", c.pairs, "pairs");
    field("one", c.one, "one source");
    field("rates", c.rates, "rates");
    field("rest", c.rest, "a registry's");
  }
};

std::vector<ConfigKey> sample_keys() {
  std::vector<ConfigKey> out;
  list_keys(Sample{}, "top", out);
  return out;
}
std::vector<std::string> names_of(const std::vector<ConfigKey>& keys) {
  std::vector<std::string> out;
  for (const auto& key : keys) out.push_back(key.key);
  return out;
}

TEST(ConfigKeys, ListsFieldsAndWhatIsInThem) {
  const auto keys = sample_keys();
  EXPECT_THAT(names_of(keys), ElementsAre("top.heads", "top.every", "top.data", "top.data.NAME.name",
                                          "top.data.NAME.weight", "top.pairs", "top.pairs[].first", "top.one",
                                          "top.one.name", "top.one.weight", "top.rates", "top.rest"));
  std::vector<std::string> types, defaults;
  for (const auto& key : keys) types.push_back(key.type);
  for (const auto& key : keys) defaults.push_back(shown_default(key));
  EXPECT_THAT(types, ElementsAre("whole number", "duration", "list of tables", "string", "number", "list of tables",
                                 "whole number", "table", "string", "number", "list of numbers", "table"));
  EXPECT_THAT(defaults, ElementsAre("as n_heads", "\"0 steps\"", "none", "required", "1", "none", "0", "none",
                                    "required", "1", "[0.5]", "none"));
  EXPECT_EQ(keys[1].unit, "steps");
  EXPECT_TRUE(keys[3].is_required);
  EXPECT_EQ(keys[4].default_value, Json(1.0));
}

std::vector<ConfigKey> keys_of_kinds() {
  const ConfigKey kind{.key = "t.kind", .type = "string", .meaning = "which kind"},
      rate{.key = "t.rate", .type = "number", .default_value = 1.0, .meaning = "rate"};
  ConfigKey other_rate = rate;
  other_rate.default_value = 2.0;
  std::vector<ConfigKey> all;
  add_keys_of_kind(all, {kind, rate}, "a");
  add_keys_of_kind(all, {kind, rate}, "b");
  add_keys_of_kind(all, {kind, other_rate, {.key = "t.shape", .type = "string"}}, "c");
  name_kinds(all, "t.kind");
  return all;
}

TEST(ConfigKeys, KindsShareTheKeysThatAreAlike) {
  const auto keys = keys_of_kinds();
  EXPECT_THAT(names_of(keys), ElementsAre("t.kind", "t.rate", "t.rate", "t.shape"));
  EXPECT_EQ(keys[0].meaning, "which kind: a, b, c");
  std::vector<std::string> kinds;
  for (const auto& key : keys) kinds.push_back(shown_kinds(key));
  EXPECT_THAT(kinds, ElementsAre("all", "a, b", "c", "c"));
  EXPECT_THAT(keys[0].kinds, ElementsAre("a", "b", "c"));
  auto with_more = keys;
  insert_keys(with_more, "t.kind", {{.key = "t.new"}});
  EXPECT_EQ(with_more[1].key, "t.new");
  EXPECT_THROW(insert_keys(with_more, "t.none", {}), std::logic_error);
  EXPECT_THROW(name_kinds(with_more, "t.none"), std::logic_error);
}

TEST(ConfigKeys, PatternsArePartsGlobsAndKinds) {
  const auto keys = sample_keys();
  const auto matching = [&](const std::string& pattern) { return names_of(matching_keys(keys, pattern)); };
  EXPECT_THAT(matching("weight"), ElementsAre("top.data.NAME.weight", "top.one.weight"));
  EXPECT_THAT(matching("top.data.weight"), ElementsAre("top.data.NAME.weight"));     // as messages say it
  EXPECT_THAT(matching("top.data[1].weight"), ElementsAre("top.data.NAME.weight"));  // as messages say it
  EXPECT_THAT(matching("top.data.NAME.name"), ElementsAre("top.data.NAME.name"));
  EXPECT_THAT(matching("*.heads"), ElementsAre("top.heads"));
  EXPECT_THAT(matching("top.*e"), ElementsAre("top.data.NAME.name", "top.one", "top.one.name"));
  EXPECT_THAT(matching("one.*"), ElementsAre("top.one.name", "top.one.weight"));  // from a dot on
  EXPECT_THAT(testing::message_of<ConfigError>([&] { matching("ne.*"); }), HasSubstr("got 'ne.*'"));
  EXPECT_EQ(matching("*").size(), keys.size());
  EXPECT_THAT(names_of(matching_keys(keys_of_kinds(), "c")), ElementsAre("t.kind", "t.rate", "t.shape"));
  EXPECT_THAT(matching("top.data.en.weight"), ElementsAre("top.data.NAME.weight"));  // as --set says it
  EXPECT_THAT(matching("data.en.weight"), ElementsAre("top.data.NAME.weight"));
  EXPECT_THAT(matching("how_often"), ElementsAre("top.every"));  // words of its meaning, since no key has them
  EXPECT_THAT(matching("How often"), ElementsAre("top.every"));
  const auto message = testing::message_of<ConfigError>([&] { matching("wieght"); });
  EXPECT_THAT(message, HasSubstr("PATTERN: got 'wieght'"));
  EXPECT_THAT(message, HasSubstr("did you mean 'weight'?"));
  EXPECT_THAT(testing::message_of<ConfigError>([&] { matching("[0]"); }), HasSubstr("got '[0]'"));
}

TEST(ConfigKeys, JsonHasEveryPart) {
  const auto json = to_json(keys_of_kinds()[1]);
  EXPECT_EQ(
      json.dump(),
      R"({"key":"t.rate","type":"number","unit":null,"required":false,"default":1,"default_text":null,"meaning":"rate","kinds":["a","b"]})");
}

}  // namespace
}  // namespace evenkeel
