#include "core/config_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/files.h"

namespace evenkeel {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Inner {
  int64_t count = 7;
  Duration length{0, Unit::steps};
  static void visit_fields(auto& c, auto&& field) {
    field("count", c.count, "a number");
    field("length", c.length, "a duration");
  }
};
struct Outer {
  std::string name;
  double rate = 0.5;
  bool enabled = false;
  Inner inner;
  std::optional<Inner> maybe;
  std::vector<Inner> many;
  std::vector<double> numbers;
  ConfigNode rest;
  static void visit_fields(auto& c, auto&& field) {
    field("name", c.name, "");
    field("rate", c.rate, "");
    field("enabled", c.enabled, "");
    field("inner", c.inner, "");
    field("maybe", c.maybe, "");
    field("many", c.many, "");
    field("numbers", c.numbers, "");
    field("rest", c.rest, "");
  }
};

ConfigNode toml(const std::string& text) { return parse_toml(text, "recipe.toml", "/recipes"); }
Outer read(const ConfigNode& node) {
  Outer out;
  read_value(node, "", out);
  return out;
}
std::string message_for(const std::string& text) {
  return testing::message_of<ConfigError>([&] { read(toml(text)); });
}

TEST(ConfigTree, PlaceOfAKeyIsThatOfItsTableWhereItIsAbsent) {
  const auto table = toml("[inner]\ncount = 1\n");
  EXPECT_EQ(place_of(*table.find("inner"), "count"), "recipe.toml:2:1");
  EXPECT_EQ(place_of(*table.find("inner"), "length"), table.find("inner")->where);
}

TEST(ConfigTree, ReadsEveryKindOfValue) {
  const auto config =
      read(toml("name = \"x\"\nrate = 1\nenabled = true\nnumbers = [1, 2.5]\nrest = {a = [1]}\n"
                "[inner]\ncount = \"2M\"\nlength = \"3k tokens\"\n[[many]]\ncount = 2e6\n[[many]]\nlength = 5\n"));
  EXPECT_EQ(config.name, "x");
  EXPECT_EQ(config.rate, 1.0);
  EXPECT_TRUE(config.enabled);
  EXPECT_EQ(config.inner.count, 2000000);
  EXPECT_EQ(config.inner.length, (Duration{3000, Unit::tokens}));
  EXPECT_FALSE(config.maybe.has_value());
  ASSERT_EQ(config.many.size(), 2u);
  EXPECT_EQ(config.many[0].count, 2000000);
  EXPECT_EQ(config.many[1].length, (Duration{5, Unit::steps}));  // a bare number has the field's unit
  EXPECT_EQ(config.many[1].count, 7);
  EXPECT_EQ(config.numbers, (std::vector<double>{1, 2.5}));
  EXPECT_EQ(config.rest.to_json().dump(), R"({"a":[1]})");
}

TEST(ConfigTree, WritesEveryField) {
  Outer config;
  config.inner.length = {0.25, Unit::fraction};
  EXPECT_EQ(
      to_json(config).dump(),
      R"({"name":"","rate":0.5,"enabled":false,"inner":{"count":7,"length":0.25},"maybe":null,"many":[],"numbers":[],"rest":null})");
}

TEST(ConfigTree, ErrorsNameFileLineAndPath) {
  EXPECT_THAT(message_for("\nrate = \"fast\""), HasSubstr("recipe.toml:2:1: got rate = 'fast'; need a finite number"));
  EXPECT_THAT(message_for("rate = nan"), HasSubstr("got rate = nan; need a finite number"));
  EXPECT_THAT(message_for("rate = -inf"), HasSubstr("got rate = -inf; need a finite number"));
  EXPECT_THAT(message_for("[inner]\ncount = 1.5"),
              HasSubstr("recipe.toml:2:1: got inner.count = 1.5; need a whole number"));
  EXPECT_THAT(message_for("[inner]\ncount = 1e17"), HasSubstr("need a whole number below 9e15"));
  EXPECT_THAT(
      message_for("[inner]\ncount = 99999999999999999999"),
      HasSubstr(
          "got the whole number 99999999999999999999, of more than 64 bits; need one from -9223372036854775808 to "
          "9223372036854775807"));
  EXPECT_THAT(message_for("enabled = 1"), HasSubstr("need true or false"));
  EXPECT_THAT(message_for("name = 3"), HasSubstr("need a string"));
  EXPECT_THAT(message_for("inner = 3"), HasSubstr("need a table"));
  EXPECT_THAT(message_for("many = 3"), HasSubstr("need a list"));
  EXPECT_THAT(message_for("numbers = [1, \"two\"]"), HasSubstr("numbers[1]"));
  EXPECT_THAT(message_for("[inner]\nlength = -1"), HasSubstr("not negative"));
  EXPECT_THAT(message_for("[inner]\nlength = \"5 apples\""), HasSubstr("inner.length: got '5 apples'"));
  EXPECT_THAT(message_for("name = 2001-01-01"), HasSubstr("date"));
}

TEST(ConfigTree, UnknownKeysSuggestTheNearest) {
  EXPECT_THAT(message_for("\n\nnmae = \"x\""),
              HasSubstr("recipe.toml:3:1: got unknown key 'nmae'; need a known key (did you mean 'name'?)"));
  EXPECT_THAT(message_for("[inner]\ncuont = 1"), HasSubstr("'inner.cuont'"));
  EXPECT_THAT(message_for("[inner]\nzzzzzzzz = 1"), HasSubstr("need one of count, length"));
  EXPECT_EQ(nearest_name("lerning_rate", {"learning_rate", "rate"}), "learning_rate");
  EXPECT_EQ(nearest_name("x", {}), "");
  EXPECT_EQ(nearest_name("optimiser", {"model", "train"}), "");
}

TEST(ConfigTree, TextThatIsNotTomlNamesTheLine) {
  EXPECT_THAT(testing::message_of<ConfigError>([] { toml("a = 1\nb = = 2"); }), StartsWith("recipe.toml:2:"));
  EXPECT_THAT(testing::message_of<ConfigError>([] { toml("a = 1\na = 2"); }), StartsWith("recipe.toml:2:"));
  EXPECT_THROW(toml("a = \"\xff\""), ConfigError);
}

TEST(ConfigTree, ReadsFilesAndKeepsTheirFolder) {
  const testing::TemporaryFolder folder;
  const auto node = read_toml(folder.write("a.toml", "z = 1\na = 2\n").string());
  EXPECT_EQ(node.to_json().dump(), R"({"z":1,"a":2})");  // the order of the file
  EXPECT_EQ(node.find("a")->folder, folder.path().string());
  EXPECT_EQ(node.find("a")->where, (folder / "a.toml").string() + ":2:1");
  EXPECT_THROW(read_toml((folder / "absent.toml").string()), DataError);
}

TEST(Override, TakesTomlValuesAndBareWords) {
  ConfigNode root = toml("[train]\nseed = 1\n");
  apply_override(root, "train.seed=2");
  apply_override(root, "train.lr=3e-4");
  apply_override(root, "train.name=warm start");
  apply_override(root, "train.list=[1, \"a\"]");
  apply_override(root, "train.on=true");
  apply_override(root, "train.quoted=\"true\"");
  apply_override(root, "train.empty=");
  apply_override(root, "train.day=2001-01-01");
  apply_override(root, "train.equals=a=b");
  apply_override(root, "train.lines=1\nseed = 3");
  apply_override(root, "new.table.key=1");
  EXPECT_EQ(
      root.to_json().dump(),
      R"({"train":{"seed":2,"lr":3e-04,"name":"warm start","list":[1,"a"],"on":true,"quoted":"true","empty":"","day":"2001-01-01","equals":"a=b","lines":"1\nseed = 3"},"new":{"table":{"key":1}}})");
  EXPECT_EQ(root.find("train")->find("seed")->where, "--set train.seed");
}

TEST(Override, AddressesPhasesByName) {
  ConfigNode root =
      toml("[[phase]]\nname = \"english\"\nsteps = 1\n[[phase]]\nname = \"german\"\n[phase.schedule]\nlr_max = 1.0\n");
  apply_override(root, "phase.german.steps=5");
  apply_override(root, "phase.german.schedule.lr_max=0.5");
  EXPECT_EQ(root.to_json().dump(),
            R"({"phase":[{"name":"english","steps":1},{"name":"german","schedule":{"lr_max":0.5},"steps":5}]})");
  EXPECT_THAT(testing::message_of<ConfigError>([&] { apply_override(root, "phase.french.steps=5"); }),
              HasSubstr("got 'french'; need the name of a table in 'phase' (english, german)"));
  EXPECT_THROW(apply_override(root, "phase.german=5"), ConfigError);
}

TEST(Override, TakesKeysInQuotes) {
  ConfigNode root = toml("[[phase]]\nname = \"v1.5\"\nslow = {}\n");
  apply_override(root, "phase.\"v1.5\".slow.\"layers.0.*\"=0.1");
  apply_override(root, "phase.'v1.5'.slow.'a=b'=\"c=d\"");
  EXPECT_EQ(root.to_json().dump(), R"({"phase":[{"name":"v1.5","slow":{"layers.0.*":0.1,"a=b":"c=d"}}]})");
  for (const auto* text : {"phase.\"v1.5.slow.x=1", "phase.\"v1.5\"slow=1", "\"\"=1"})
    EXPECT_THROW(apply_override(root, text), ConfigError) << text;
}

TEST(Override, AMessageSaysThePathOnce) {
  const auto message = [](const std::string& text, auto value) {
    ConfigNode root = config_table("r.toml");
    apply_override(root, "a.b=" + text);
    return testing::message_of<ConfigError>([&] { read_value(*root.find("a")->find("b"), "a.b", value); });
  };
  EXPECT_EQ(message("null", int64_t{}), "--set a.b: got 'null'; need a number, with k, M or B for 10^3, 10^6, 10^9");
  EXPECT_EQ(message("null", 0.5), "--set a.b: got 'null'; need a finite number");
  EXPECT_EQ(message("true", int64_t{}), "--set a.b: got true; need a whole number");
  EXPECT_EQ(message("3 days", Duration{}),
            "--set a.b: got '3 days'; need a number that is not negative, below 1e18, with a unit: steps, tokens or "
            "epochs, as in \"2M tokens\"");
  ConfigNode file = toml("b = true");
  int64_t number = 0;
  EXPECT_THAT(testing::message_of<ConfigError>([&] { read_value(*file.find("b"), "a.b", number); }),
              ::testing::EndsWith(": got a.b = true; need a whole number"));
}

TEST(Override, RefusesWhatIsNoAssignment) {
  ConfigNode root = toml("a = 1");
  for (const auto* text : {"a", "=1", "", "a.b=1", ".=1", "a..b=2", "b.=3"})
    EXPECT_THROW(apply_override(root, text), ConfigError) << text;
}

TEST(Merge, ReplacesValuesAndMergesTables) {
  ConfigNode base = toml("a = 1\nlist = [1, 2]\n[t]\nx = 1\ny = 2\n");
  merge_config(base, toml("a = 2\nlist = [3]\nnew = 4\n[t]\ny = 5\n"));
  EXPECT_EQ(base.to_json().dump(), R"({"a":2,"list":[3],"t":{"x":1,"y":5},"new":4})");
  merge_config(base, toml("t = 1"));
  EXPECT_EQ(base.find("t")->to_json().dump(), "1");
}

TEST(Merge, MergesPhasesByName) {
  const std::string text = "[[phase]]\nname = \"one\"\nsteps = 1\n[[phase]]\nname = \"two\"\nsteps = 2\n";
  ConfigNode base = toml(text);
  merge_config(base, toml("[phase.two]\nsteps = 3\n"));
  EXPECT_EQ(base.find("phase")->to_json().dump(), R"([{"name":"one","steps":1},{"name":"two","steps":3}])");
  merge_config(base, toml("[[phase]]\nname = \"three\"\n[[phase]]\nname = \"one\"\nshuffle = false\n"));
  EXPECT_EQ(base.find("phase")->to_json().dump(),
            R"([{"name":"one","steps":1,"shuffle":false},{"name":"two","steps":3},{"name":"three"}])");
  EXPECT_THAT(testing::message_of<ConfigError>([&] { merge_config(base, toml("[phase.four]\nsteps = 3\n")); }),
              HasSubstr("got phase 'four'"));
}

TEST(ConfigNode, ShowsShortValues) {
  EXPECT_EQ(toml("a = \"x\"").find("a")->shown(), "'x'");
  EXPECT_EQ(toml("a = nan").find("a")->shown(), "nan");
  EXPECT_EQ(toml("a = -inf").find("a")->shown(), "-inf");
  EXPECT_LE(toml("a = \"" + std::string(500, 'x') + "\"").find("a")->shown().size(), 120u);
  EXPECT_EQ(ConfigNode{}.find("a"), nullptr);
}

TEST(ConfigNode, ComesBackFromItsJsonWithoutTheNulls) {
  const auto node = toml("a = 1\nb = 1.0\nc = [true, \"x\"]\nd = {e = [{f = 2}]}\n");
  Json json = node.to_json();
  json["absent"] = Json();
  const auto back = config_from_json(json, "resolved.json");
  EXPECT_EQ(back.to_json().dump(), node.to_json().dump());
  EXPECT_TRUE(std::holds_alternative<int64_t>(back.find("a")->value));
  EXPECT_TRUE(std::holds_alternative<double>(back.find("b")->value));
  EXPECT_EQ(back.find("absent"), nullptr);
  EXPECT_EQ(back.find("d")->find("e")->list()[0].find("f")->where, "resolved.json");
}

// A hundred thousand tables in one another are more than a stack holds.
TEST(ConfigNode, RefusesKeysOfVeryManyParts) {
  std::string key = "a";
  for (int i = 0; i < 100000; ++i) key += ".a";
  for (const auto& text :
       {key + " = 1", "b = 1\n[" + key + "]", "x = {" + key + " = 1}", "a = \"it's\" # '\n" + key + " = 1"})
    EXPECT_THAT(testing::message_of<ConfigError>([&] { toml(text); }),
                ::testing::HasSubstr("got a key of more than 100 parts"));
  std::string numbers = "a = [0.1";
  for (int i = 0; i < 1000; ++i) numbers += ", 0.1";
  EXPECT_EQ(toml(numbers + "]").find("a")->list().size(), 1001u);
  EXPECT_NO_THROW(toml("a = \"" + key + "\""));
}

TEST(Override, AnotherLengthOfAPhaseReplacesTheOneItHad) {
  auto root = parse_toml("[[phase]]\nname = \"a\"\ntokens = 100\n[[phase]]\nname = \"b\"\nsteps = 5\n", "t", "");
  apply_override(root, "phase.a.steps=3");
  merge_config(root, parse_toml("phase.b.tokens = 7", "c", ""));
  const auto& phases = root.find("phase")->list();
  EXPECT_EQ(phases[0].find("tokens"), nullptr);
  EXPECT_EQ(phases[0].find("steps")->shown(), "3");
  EXPECT_EQ(phases[1].find("steps"), nullptr);
  EXPECT_EQ(phases[1].find("tokens")->shown(), "7");
}

}  // namespace
}  // namespace evenkeel
