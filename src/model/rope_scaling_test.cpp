#include "model/rope_scaling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/files.h"

namespace evenkeel::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

RopeScaling scaling_of(const std::string& toml) {
  RopeScaling out;
  read_value(parse_toml(toml, "m.toml", ""), "model.rope_scaling", out);
  return out;
}
std::string message_for(const std::string& toml) {
  return testing::message_of<ConfigError>([&] { scaling_of(toml); });
}

// Every kind and key, through the reader: what a recipe says is what is computed.
TEST(RopeScaling, FrequenciesMatchTheGoldenOnes) {
  const auto golden = testing::read_golden("rotary.json");
  for (const auto& c : golden.inputs.at("cases").as_array()) {
    const std::string name = c.at("name").as_string();
    Json keys = c;
    for (const char* key : {"name", "dims", "theta", "length"}) keys.erase(key);
    RopeScaling scaling;
    read_value(config_from_json(keys, "golden"), "model.rope_scaling", scaling);
    const ops::Rotation rotation{c.at("dims").as_int(), c.at("theta").as_double(), ops::RotaryPairs::halves,
                                 scaling.value};
    testing::expect_close(ops::rotary_frequencies(rotation, c.at("length").as_int()),
                          testing::tensor_of(golden.outputs.at("frequencies").at(name)), golden.rtol, golden.atol,
                          name);
    testing::expect_close(ops::attention_factor(scaling.value),
                          golden.outputs.at("attention_factor").at(name).as_double(), golden.rtol, golden.atol, name);
    RopeScaling again;
    read_value(config_from_json(to_json(scaling), "json"), "model.rope_scaling", again);
    EXPECT_EQ(again, scaling) << name;
  }
}

TEST(RopeScaling, NamesWhatItsKindDoesNotRead) {
  EXPECT_THAT(message_for("kind = \"yarm\""),
              AllOf(HasSubstr("'yarm'"), HasSubstr("none, linear, dynamic, llama3, yarn, longrope")));
  EXPECT_THAT(message_for("kind = \"linear\"\nfactor = 2.0\nbeta_fast = 32.0"), HasSubstr("beta_fast"));
  EXPECT_THAT(message_for("kind = \"linear\"\nfactor = 0.0"),
              AllOf(HasSubstr("m.toml:2"), HasSubstr("model.rope_scaling.factor"), HasSubstr("need more than 0")));
  EXPECT_THAT(message_for("kind = \"linear\"\nfactor = inf"), HasSubstr("need a finite number"));
  EXPECT_THAT(message_for("kind = \"yarn\"\nfactor = 2.0"), HasSubstr("original_length = 0; need 1..2^31"));
  EXPECT_THAT(message_for("kind = \"llama3\"\nfactor = 2.0\noriginal_length = 8\nlow_freq_factor = 4.0"),
              HasSubstr("high_freq_factor = 4; need more than low_freq_factor = 4"));
  EXPECT_THAT(message_for("kind = \"yarn\"\nfactor = 2.0\noriginal_length = 8\nbeta_fast = 0.5"),
              HasSubstr("need at least beta_slow = 1"));
  EXPECT_THAT(message_for("kind = \"dynamic\"\nfactor = 0.5\noriginal_length = 8"), HasSubstr("need 1 or more"));
  EXPECT_THAT(message_for("kind = \"longrope\"\nshort_factor = [1.0, 0.0]"), HasSubstr("short_factor = 0"));
}

TEST(RopeScaling, LongropeHasADivisorForEachPair) {
  const auto scaling =
      scaling_of("kind = \"longrope\"\noriginal_length = 8\nshort_factor = [1.0, 1.0]\nlong_factor = [1.0, 2.0]");
  check_rope_scaling(scaling, 2, "here");
  EXPECT_THAT(testing::message_of<ConfigError>([&] { check_rope_scaling(scaling, 4, "here"); }),
              AllOf(HasSubstr("here: got model.rope_scaling.short_factor = a list of 2"), HasSubstr("need 4 numbers")));
}

TEST(RopeScaling, ListsTheKeysOfItsKinds) {
  std::vector<ConfigKey> keys;
  list_keys(RopeScaling{}, "model.rope_scaling", keys);
  const auto ramps = matching_keys(keys, "model.rope_scaling.beta_fast");
  ASSERT_EQ(ramps.size(), 1u);
  EXPECT_EQ(shown_kinds(ramps[0]), "yarn");
  EXPECT_THAT(keys[0].meaning, HasSubstr("longrope"));
}

}  // namespace
}  // namespace evenkeel::model
