#include "optim/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/files.h"

namespace evenkeel::optim {
namespace {

using ::testing::HasSubstr;

constexpr PhaseLength kHundred{100, 32};

std::unique_ptr<Schedule> make(const std::string& toml, const PhaseLength& length = kHundred) {
  return make_schedule(parse_toml(toml, "r.toml", ""), length);
}
std::string message_for(const std::string& toml, const PhaseLength& length = kHundred) {
  return testing::message_of<ConfigError>([&] { make(toml, length); });
}

// The keys of a golden case that its kind takes.
std::string toml_of(const Json& c) {
  const std::string kind = c.at("kind").as_string();
  std::string out =
      "kind = \"" + kind + "\"\nlr_max = " + c.at("lr_max").dump() + "\nlr_start = " + c.at("lr_start").dump() + "\n";
  if (kind != "constant") out += "lr_min = " + c.at("lr_min").dump() + "\n";
  for (const auto* key : {"warmup", "cooldown", "constant", "decay"})
    if (const Json* steps = c.find(key + std::string("_steps")))
      out += std::string(key) + " = \"" + steps->dump() + " steps\"\n";
  for (const auto* key : {"lr_constant", "timescale", "shape"})
    if (const Json* value = c.find(key)) out += std::string(key) + " = " + value->dump() + "\n";
  return out;
}

class GoldenSchedules : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenSchedules, Match) {
  const auto golden = testing::read_golden(GetParam());
  for (const auto& c : golden.inputs.at("cases").as_array()) {
    const std::string name = c.at("name").as_string();
    const auto schedule = make(toml_of(c), {c.at("total_steps").as_int(), 32});
    const auto steps = testing::integers_of(c.at("steps"));
    for (size_t i = 0; i < steps.size(); ++i)
      testing::expect_close(schedule->rate(steps[i]), golden.outputs.at("lr").at(name).at(i).as_double(), golden.rtol,
                            golden.atol, name + " at " + std::to_string(steps[i]));
  }
}
INSTANTIATE_TEST_SUITE_P(Files, GoldenSchedules, ::testing::Values("schedules.json", "schedules_paper.json"),
                         [](const auto& test) {
                           return std::string(test.param) == "schedules.json" ? "reference" : "paper";
                         });

TEST(Duration, BecomesWholeSteps) {
  const auto steps = [](double value, Unit unit) { return duration_in_steps({value, unit}, kHundred, "x"); };
  EXPECT_EQ(steps(0.1, Unit::fraction), 10);
  EXPECT_EQ(steps(0.014, Unit::fraction), 1);
  EXPECT_EQ(steps(1e-9, Unit::fraction), 1);  // at least one where above 0
  EXPECT_EQ(steps(0, Unit::fraction), 0);
  EXPECT_EQ(steps(1, Unit::fraction), 100);
  EXPECT_EQ(steps(7, Unit::steps), 7);
  EXPECT_EQ(steps(33, Unit::tokens), 2);  // 32 tokens a step: rounded up
  EXPECT_EQ(steps(64, Unit::tokens), 2);
}

TEST(Duration, RefusesEpochsAndMoreThanThePhase) {
  const auto message = [](double value, Unit unit) {
    return testing::message_of<ConfigError>([&] { duration_in_steps({value, unit}, kHundred, "r.toml:1:2"); });
  };
  EXPECT_EQ(message(1, Unit::epochs), "r.toml:1:2: got '1 epochs'; need a fraction of the phase, steps or tokens");
  EXPECT_THAT(message(101, Unit::steps), HasSubstr("need at most the phase's 100 steps"));
  EXPECT_THAT(message(1.5, Unit::fraction), HasSubstr("need at most the phase's 100 steps"));
}

TEST(Schedule, IsClampedOnBothSides) {
  const auto cosine = make("kind = \"cosine\"\nlr_max = 1.0\nlr_min = 0.1\nwarmup = 0.1");
  EXPECT_EQ(cosine->rate(0), cosine->rate(1));
  EXPECT_DOUBLE_EQ(cosine->rate(1), 0.1);
  EXPECT_DOUBLE_EQ(cosine->rate(100), 0.1);
  EXPECT_EQ(cosine->rate(250), cosine->rate(100));  // does not turn up again
  EXPECT_EQ(cosine->rate(INT64_MAX), cosine->rate(100));
}

TEST(Schedule, NamesPlaceAndValueOfWhatItRefuses) {
  EXPECT_THAT(message_for("kind = \"cosin\"\nlr_max = 1.0"),
              HasSubstr("r.toml:1:1: got schedule.kind = 'cosin'; need one of: constant, linear"));
  EXPECT_THAT(message_for("kind = \"cosine\""), HasSubstr("need lr_max"));
  EXPECT_THAT(message_for("kind = \"cosine\"\nlr_max = -1.0"),
              HasSubstr("r.toml:2:1: schedule.lr_max: got -1; need 0..1000"));
  EXPECT_THAT(message_for("kind = \"cosine\"\nlr_max = 1.0\nlr_min = 2.0"), HasSubstr("need at most lr_max = 1"));
  EXPECT_THAT(message_for("kind = \"cosine\"\nlr_max = 1.0\ntimescale = 2.0"),
              HasSubstr("unknown key 'schedule.timescale'"));
  EXPECT_THAT(message_for("kind = \"constant\"\nlr_max = 1.0\nlr_min = 0.5"), HasSubstr("unknown key"));
  EXPECT_THAT(message_for("lr_max = 1.0\nwarmup = \"200 steps\""), HasSubstr("r.toml:2:1: schedule.warmup"));
  EXPECT_THAT(message_for("kind = \"wsd\"\nlr_max = 1.0\nshape = \"square\""),
              HasSubstr("got schedule.shape = 'square'; need one of: linear, cosine, exponential, minus_sqrt"));
  EXPECT_THAT(message_for("kind = \"wsd\"\nlr_max = 1.0\nlr_min = 0.1"),
              HasSubstr("schedule.lr_min: got it in a wsd schedule without decay"));
  EXPECT_THAT(message_for("kind = \"wsd\"\nlr_max = 1.0\nshape = \"cosine\""),
              HasSubstr("schedule.shape: got it in a wsd schedule without decay"));
  EXPECT_NO_THROW(make("kind = \"wsd\"\nlr_max = 1.0"));
  EXPECT_THAT(message_for("kind = \"wsd\"\nlr_max = 1.0\nwarmup = 0.6\ndecay = 0.5"),
              HasSubstr("warm-up and decay of 110 steps"));
  const std::string infinite = "kind = \"infinite_inverse_sqrt\"\nlr_max = 1.0\n";
  EXPECT_THAT(message_for(infinite), HasSubstr("schedule.lr_constant: got 0"));
  EXPECT_THAT(message_for(infinite + "lr_constant = 2.0"), HasSubstr("need more than 0 and at most lr_max"));
  EXPECT_THAT(message_for(infinite + "lr_constant = 0.5"), HasSubstr("exponential anneal"));  // lr_min = 0
  EXPECT_THAT(message_for(infinite + "lr_constant = 0.5\nlr_min = 0.6"), HasSubstr("exponential anneal"));
  EXPECT_THAT(message_for(infinite + "lr_constant = 0.5\ntimescale = 0.0"), HasSubstr("more than 0"));
  EXPECT_THAT(message_for(infinite + "lr_constant = 0.5\nlr_min = 0.1\nwarmup = 0.2\ncooldown = 0.5\nconstant = 0.4"),
              HasSubstr("of 110 steps"));
  EXPECT_THROW(make_schedule(ConfigNode{}, kHundred), ConfigError);
}

TEST(Schedule, TakesLrMinZeroWhenNothingAnneals) {
  EXPECT_DOUBLE_EQ(
      make("kind = \"infinite_cosine\"\nlr_max = 1.0\nlr_constant = 0.5\ncooldown = 0.5\nconstant = 0.5")->rate(100),
      0.5);
}

TEST(Schedule, IsDrawnAsBars) {
  std::string flat;
  for (int i = 0; i < 32; ++i) flat += "█";
  EXPECT_EQ(sparkline(*make("kind = \"constant\"\nlr_max = 1.0"), 100), flat);
  const std::string falling = sparkline(*make("kind = \"linear\"\nlr_max = 1.0\nlr_min = 0.0"), 100);
  EXPECT_EQ(falling.substr(0, 3), "█");
  EXPECT_EQ(falling.substr(falling.size() - 3), "▁");
  EXPECT_EQ(falling.size(), 32U * 3);  // each is three bytes of UTF-8
}

// resolved.json has every option with its value, and results are made from that.
TEST(Schedule, IsTheSameFromItsOwnOptions) {
  for (const char* toml : {"kind = \"wsd\"\nlr_max = 1.0", "kind = \"wsd\"\nlr_max = 1.0\ndecay = 0.25\nlr_min = 0.1",
                           "kind = \"cosine\"\nlr_max = 1.0\nwarmup = 0.1", "kind = \"constant\"\nlr_max = 1.0"}) {
    const auto first = make_schedule(parse_toml(toml, "s.toml", ""), {100, 32});
    const Json options = Json::parse(first->options().dump(), "options");
    const auto again = make_schedule(config_from_json(options, "resolved.json"), {100, 32});
    for (const int64_t n : {1, 5, 50, 80, 100}) EXPECT_EQ(first->rate(n), again->rate(n)) << toml << ", update " << n;
  }
}

}  // namespace
}  // namespace evenkeel::optim
