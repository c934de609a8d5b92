// What every registered schedule keeps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "optim/schedule.h"
#include "support/files.h"

namespace evenkeel::optim {
namespace {

// Keys that a kind needs beyond lr_max.
std::string needed_keys(const std::string& kind) {
  if (kind.rfind("infinite_", 0) == 0) return "lr_constant = 0.5\nlr_min = 0.125\ncooldown = 0.25\nconstant = 0.25\n";
  return kind == "wsd" ? "decay = 0.25\nlr_min = 0.125\n" : "";
}

class ScheduleContract : public ::testing::TestWithParam<std::string> {
 protected:
  ConfigNode config(const std::string& more = "") const {
    return parse_toml("kind = \"" + GetParam() + "\"\nlr_max = 1.0\n" + needed_keys(GetParam()) + more, "r.toml", "");
  }
  std::unique_ptr<Schedule> make(const std::string& more, int64_t total_steps) const {
    return make_schedule(config(more), {total_steps, 8});
  }
};

TEST_P(ScheduleContract, WarmsUpLinearlyToTheMaximum) {
  const auto schedule = make("warmup = \"10 steps\"\nlr_start = 0.5", 100);
  for (int64_t n = 1; n <= 10; ++n) EXPECT_DOUBLE_EQ(schedule->rate(n), 0.5 + 0.05 * static_cast<double>(n));
}

TEST_P(ScheduleContract, StaysWithinItsBoundsAndNeverRisesAfterTheWarmUp) {
  for (const int64_t total_steps : {1, 2, 3, 7, 100, 1001})
    for (const std::string warmup : {"0", "0.1"}) {
      if (total_steps < 4 && !needed_keys(GetParam()).empty()) continue;  // its parts take a step each
      const auto schedule = make("warmup = " + warmup, total_steps);
      const int64_t warmup_steps = warmup == "0" ? 0 : duration_in_steps({0.1, Unit::fraction}, {total_steps, 8}, "x");
      for (int64_t n = 1; n <= total_steps + 2; ++n) {
        EXPECT_GE(schedule->rate(n), 0.0);
        EXPECT_LE(schedule->rate(n), 1.0);
        if (n > std::max<int64_t>(warmup_steps, 1)) {
          EXPECT_LE(schedule->rate(n), schedule->rate(n - 1) + 1e-15) << n;  // one rounding
        }
      }
      EXPECT_EQ(schedule->rate(total_steps + 1000), schedule->rate(total_steps));
    }
}

TEST_P(ScheduleContract, IsAPureFunctionOfTheUpdate) {
  const auto schedule = make("warmup = 0.1", 50);
  std::vector<double> forwards, backwards;
  for (int64_t n = 1; n <= 60; ++n) forwards.push_back(schedule->rate(n));
  for (int64_t n = 60; n >= 1; --n) backwards.insert(backwards.begin(), schedule->rate(n));
  EXPECT_EQ(forwards, backwards);
}

TEST_P(ScheduleContract, ListsItsOptionsSoThatTheyReadBack) {
  const auto schedule = make("warmup = 0.1\nlr_start = 0.25", 64);
  const Json options = schedule->options();
  std::string toml;
  for (const auto& [key, value] : options.as_object()) toml += key + " = " + value.dump() + "\n";
  const auto again = make_schedule(parse_toml(toml, "again", ""), {64, 8});
  EXPECT_EQ(again->options(), options);
  for (int64_t n = 1; n <= 64; ++n) EXPECT_EQ(again->rate(n), schedule->rate(n));
}

TEST_P(ScheduleContract, RefusesUnknownKeysAndWrongValues) {
  const auto refused = [&](const std::string& key, const std::string& value) {
    ConfigNode node = config();
    apply_override(node, key + "=" + value);
    const auto message = testing::message_of<ConfigError>([&] { make_schedule(node, {100, 8}); });
    EXPECT_THAT(message, ::testing::HasSubstr("--set " + key)) << GetParam();
  };
  refused("lr_maxx", "1.0");
  refused("lr_max", "-1.0");
  refused("lr_max", "high");
  refused("lr_start", "nan");
  refused("warmup", "\"101 steps\"");
  refused("warmup", "\"1 epoch\"");
  refused("warmup", "-0.5");
}

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const auto& kind : schedule_kinds()) out.emplace_back(kind.name);
  return out;
}
INSTANTIATE_TEST_SUITE_P(AllSchedules, ScheduleContract, ::testing::ValuesIn(names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace evenkeel::optim
