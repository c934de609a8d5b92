#include "core/units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/counted.h"
#include "core/errors.h"
#include "support/files.h"

namespace evenkeel {
namespace {

Duration parse(std::string_view text) { return parse_duration(text, Unit::fraction, "r.toml:3:1"); }

TEST(Counted, HasASingular) {
  EXPECT_EQ(counted(0, "line"), "0 lines");
  EXPECT_EQ(counted(1, "line"), "1 line");
  EXPECT_EQ(counted(2, "MoE layer"), "2 MoE layers");
}

TEST(Duration, ReadsNumberMultiplierAndUnit) {
  EXPECT_EQ(parse("400 steps"), (Duration{400, Unit::steps}));
  EXPECT_EQ(parse("1 step"), (Duration{1, Unit::steps}));
  EXPECT_EQ(parse("2M tokens"), (Duration{2e6, Unit::tokens}));
  EXPECT_EQ(parse("1.5B tokens"), (Duration{1.5e9, Unit::tokens}));
  EXPECT_EQ(parse("3k steps"), (Duration{3000, Unit::steps}));
  EXPECT_EQ(parse("4.03k steps"), (Duration{4030, Unit::steps}));  // 4.03 * 1000 is 4030.0000000000005
  EXPECT_EQ(parse("8.05M tokens"), (Duration{8050000, Unit::tokens}));
  EXPECT_EQ(parse("1e2k steps"), (Duration{1e5, Unit::steps}));
  EXPECT_EQ(parse("0.5T token"), (Duration{5e11, Unit::tokens}));
  EXPECT_EQ(parse("1 epoch"), (Duration{1, Unit::epochs}));
  EXPECT_EQ(parse(" 2.5  epochs "), (Duration{2.5, Unit::epochs}));
  EXPECT_EQ(parse("1e3 steps"), (Duration{1000, Unit::steps}));
  EXPECT_EQ(parse("0.05"), (Duration{0.05, Unit::fraction}));
  EXPECT_EQ(parse_duration("7", Unit::steps, "x"), (Duration{7, Unit::steps}));
}

TEST(Duration, RefusesWhatItIsNot) {
  for (const auto* text : {"", " ", "steps", "-1 steps", "1 stepps", "2 M tokens", "2Mtokens", "2m tokens", "1 2",
                           "nan", "inf steps", "1e400 steps", "1e18 tokens", "0x10 steps", "+1 steps", "1,000 steps"})
    EXPECT_THROW(parse(text), ConfigError) << "'" << text << "'";
  EXPECT_THAT(testing::message_of<ConfigError>([] { parse("5 apples"); }),
              ::testing::HasSubstr("r.toml:3:1: got '5 apples'; need a number"));
}

TEST(Duration, ReadsBackWhatItWrites) {
  for (const auto& duration : {Duration{0.1, Unit::fraction}, Duration{400, Unit::steps}, Duration{20e9, Unit::tokens},
                               Duration{1.0 / 3, Unit::epochs}})
    EXPECT_EQ(parse(to_string(duration)), duration) << to_string(duration);
}

TEST(Count, TakesMultipliers) {
  EXPECT_EQ(parse_count("20B", "x"), 20e9);
  EXPECT_EQ(parse_count("1.5k", "x"), 1500);
  EXPECT_EQ(parse_count("-3", "x"), -3);
  for (const auto* text : {"", "B", "20G", "20 steps", "nan"})
    EXPECT_THROW(parse_count(text, "x"), ConfigError) << text;
}

TEST(Human, CountsHaveThreeDigits) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(7), "7");
  EXPECT_EQ(human_count(0.5), "0.50");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(999.6), "1.00k");
  EXPECT_EQ(human_count(1234567), "1.23M");
  EXPECT_EQ(human_count(12345678), "12.3M");
  EXPECT_EQ(human_count(6.919e9), "6.92B");
  EXPECT_EQ(human_count(-1500), "-1.50k");
  EXPECT_EQ(human_count(5e16), "50000T");
}

TEST(Human, SecondsAndBytesChangeUnits) {
  EXPECT_EQ(human_seconds(3.14), "3.1s");
  EXPECT_EQ(human_seconds(59.96), "1m 00s");
  EXPECT_EQ(human_seconds(754), "12m 34s");
  EXPECT_EQ(human_seconds(3725), "1h 02m");
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(5.0 * (1 << 30)), "5.0 GiB");
}

TEST(HumanRate, SaysHowLongOneTakesWhereItTakesMoreThanASecond) {
  EXPECT_EQ(human_rate(12345, "tokens"), "12.3k tokens/s");
  EXPECT_EQ(human_rate(3.2, "MB"), "3.20 MB/s");
  EXPECT_EQ(human_rate(0.001121, "MB"), "1.12 KB/s");
  EXPECT_EQ(human_rate(999.6e-6, "MB"), "1.00 KB/s");
  EXPECT_EQ(human_rate(13.5, "GB"), "13.5 GB/s");
  EXPECT_EQ(human_rate(0.25e-6, "MB"), "0.25 B/s");
  EXPECT_EQ(human_rate(0, "MB"), "0 B/s");
  EXPECT_EQ(human_rate(1, "steps"), "1 steps/s");
  EXPECT_EQ(human_rate(0.5, "measurements"), "2.0s a measurement");
  EXPECT_EQ(human_rate(0.028, "models"), "35.7s a model");
  EXPECT_EQ(human_rate(0.01, "steps"), "1m 40s a step");
  EXPECT_EQ(human_rate(0, "steps"), "0 steps/s");
}

}  // namespace
}  // namespace evenkeel
