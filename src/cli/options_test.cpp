#include "cli/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "ops/device.h"
#include "support/files.h"

namespace evenkeel::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

// A command with one option of each kind.
struct Values {
  std::string recipe, out = "default";
  std::vector<std::string> data, set;
  int64_t steps = 5;
  double hours = 0;
  bool json = false, is_parsed = false;
};
Values parse(const std::vector<std::string>& arguments) {
  Values values;
  Options options("train", "what it does", arguments);
  options.add("RECIPE", values.recipe, "a recipe", /*is_required=*/true);
  options.add("--out", values.out, "a folder");
  options.add_named("--data", values.data, "sets");
  options.add("--set", values.set, "changes");
  options.add("--steps", values.steps, {1, 2000000}, "a count");
  options.add("--max-hours", values.hours, "a bound");
  options.flag("--json", values.json, "as JSON");
  options.example("evenkeel train r.toml --out runs/a");
  values.is_parsed = options.parse();
  return values;
}

TEST(Options, ReadEveryKindOfValue) {
  const auto values =
      parse({"r.toml", "--out", "runs/a", "--steps=7", "--max-hours", "0.5", "--json", "--data", "a=x", "b=y"});
  EXPECT_TRUE(values.is_parsed);
  EXPECT_EQ(values.recipe, "r.toml");
  EXPECT_EQ(values.out, "runs/a");
  EXPECT_EQ(values.steps, 7);
  EXPECT_EQ(values.hours, 0.5);
  EXPECT_TRUE(values.json);
  EXPECT_THAT(values.data, ElementsAre("a=x", "b=y"));
}

TEST(Options, KeepDefaults) {
  const auto values = parse({"r.toml"});
  EXPECT_EQ(values.out, "default");
  EXPECT_EQ(values.steps, 5);
  EXPECT_FALSE(values.json);
  EXPECT_TRUE(values.data.empty());
}

TEST(Options, SetTakesOneValueSoThatThePositionalMayFollow) {
  const auto values = parse({"--set", "train.seed=2", "r.toml", "--set", "a=[1, 2]"});
  EXPECT_EQ(values.recipe, "r.toml");
  EXPECT_THAT(values.set, ElementsAre("train.seed=2", "a=[1, 2]"));
}

TEST(Options, NamedValuesLeaveThePositional) {
  EXPECT_THAT(parse({"--data", "a=1", "r.toml"}).data, ElementsAre("a=1"));
  EXPECT_EQ(parse({"--data", "a=1", "r.toml"}).recipe, "r.toml");
  const auto values = parse({"--data", "a=1", "b=2", "--steps", "4k", "r.toml", "--data", "c=3"});
  EXPECT_THAT(values.data, ElementsAre("a=1", "b=2", "c=3"));
  EXPECT_EQ(values.recipe, "r.toml");
  EXPECT_EQ(values.steps, 4000);
}

TEST(Options, CountsTakeMultipliers) {
  EXPECT_EQ(parse({"r.toml", "--steps", "1.5M"}).steps, 1500000);
  for (const char* text : {"0.5", "1.2345k", "k", "9999999B"})
    EXPECT_THROW(parse({"r.toml", "--steps", text}), ConfigError) << text;
}

TEST(Options, RefuseAWrongCommandLineInOneLine) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{}, {"r.toml", "--uot", "x"}, {"r.toml", "s.toml"}, {"r.toml", "--out"}}) {
    const auto message = message_of<ConfigError>([&] { parse(arguments); });
    EXPECT_THAT(message, ::testing::StartsWith("train: got "));
    EXPECT_THAT(message, HasSubstr("; need "));
  }
  EXPECT_THAT(message_of<ConfigError>([] { parse({"r.toml", "--uot", "x"}); }), HasSubstr("--out"));
}

TEST(Options, SayWhatToTypeInstead) {
  const auto refusal = [](const std::vector<std::string>& arguments) {
    return message_of<ConfigError>([&] { parse(arguments); });
  };
  EXPECT_EQ(refusal({}), "train: got no RECIPE; need one: a recipe");
  EXPECT_EQ(refusal({"r.toml", "--out"}), "train: got --out without its value; need --out VALUE, a folder");
  for (const char* number :
       {"many", "0", "-1", "3M", "1.5", "1e3", "0x10", "99999999999999999999", "-99999999999999999999"})
    EXPECT_EQ(
        refusal({"r.toml", "--steps", number}),
        std::string("--steps: got ") + number + "; need a whole number from 1 to 2000000 (4k, 2M and 1B are some too)");
  EXPECT_THAT(refusal({"r.toml", "--steps", ""}), HasSubstr("--steps: got an empty text; need a whole number from 1"));
  EXPECT_EQ(refusal({"r.toml", "--max-hours", "long"}), "train: got --max-hours long; need a number");
  EXPECT_EQ(refusal({"r.toml", "--max-hours", "1e999"}),
            "--max-hours: got 1e999; need a finite number of ordinary size");
  EXPECT_EQ(refusal({"r.toml", "--uot", "x"}),
            "train: got the unknown option --uot (did you mean --out?); need one that 'evenkeel train --help' lists");
  EXPECT_EQ(refusal({"r.toml", "s.toml"}),
            "train: got 's.toml' more than it takes; need one RECIPE, what 'evenkeel train --help' lists");
  EXPECT_THAT(refusal({"r.toml", "-x"}), HasSubstr("'-x' more than it takes"));
  Options planned("eval", "what it does", {"--task", "a=b"});
  planned.example("evenkeel eval");
  EXPECT_EQ(message_of<ConfigError>([&] { planned.parse(); }),
            "eval: got --task, which is not there yet; need one that 'evenkeel eval --help' lists");
}

TEST(Options, HelpGoesToStdoutWithTheExample) {
  ::testing::internal::CaptureStdout();
  EXPECT_FALSE(parse({"--help"}).is_parsed);
  const auto text = ::testing::internal::GetCapturedStdout();
  EXPECT_THAT(text, HasSubstr("evenkeel train"));
  EXPECT_THAT(text, HasSubstr("Example:\n  evenkeel train r.toml --out runs/a"));
  EXPECT_THAT(text, HasSubstr("--max-hours"));
}

TEST(Options, ComputeSetsTheThreads) {
  const auto before = ops::n_threads();
  const auto run = [](const std::vector<std::string>& arguments) {
    std::string device;
    Options options("eval", "what it does", arguments);
    options.compute(device);
    options.example("evenkeel eval");
    EXPECT_TRUE(options.parse());
    return device;
  };
  EXPECT_EQ(message_of<ConfigError>([&] {
              run({"--threads", "4097"});
            }),  // too few for 2M
            "--threads: got 4097; need a whole number from 0 (the cores that this process may use) to 4096");
  EXPECT_EQ(run({"--device", "cpu", "--threads", "1"}), "cpu");
  EXPECT_EQ(ops::n_threads(), 1);
  EXPECT_THAT(message_of<ConfigError>([&] { run({"--threads", "-1"}); }), HasSubstr("--threads: got -1"));
  EXPECT_THROW(run({"--threads", "5000"}), ConfigError);
  ops::set_threads(before);
}

TEST(Options, HelpListsNamesAboveTheExample) {
  Options options("plan", "what it does", {"--help"});
  options.list("Routers", {{"top_k", "the largest"}, {"a_long_one", "another"}});
  options.list("Schedules", {{"cosine", "falls"}});
  options.example("evenkeel plan r.toml");
  ::testing::internal::CaptureStdout();
  EXPECT_FALSE(options.parse());
  EXPECT_THAT(::testing::internal::GetCapturedStdout(),
              HasSubstr("Routers:\n  top_k       the largest\n  a_long_one  another\n\nSchedules:\n  cosine  "
                        "falls\n\nExample:\n  evenkeel plan r.toml"));
}

TEST(SplitNamed, CutsAtTheFirstEqualsSign) {
  const auto values = split_named({"en=a/b=c", "de=x"}, "--data");
  ASSERT_EQ(values.size(), 2u);
  EXPECT_EQ(values[0].name, "en");
  EXPECT_EQ(values[0].value, "a/b=c");
  EXPECT_EQ(values[1].value, "x");
  for (const std::string text : {"en", "=x", "en=", ""})
    EXPECT_EQ(message_of<ConfigError>([&] { split_named({text}, "--data"); }),
              "--data: got '" + text + "'; need NAME=VALUE");
  EXPECT_THAT(message_of<ConfigError>([] { split_named({"en=x", "en=y"}, "--data"); }), HasSubstr("'en' twice"));
}

}  // namespace
}  // namespace evenkeel::cli
