#include "train/phase_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/tiny_run.h"
#include "train/phase.h"

namespace evenkeel::train {
namespace {

using testing::message_of;

// Phase "two" of the tiny recipe, which replays a quarter of "one".
class PhaseRecordTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_tiny_sets(folder_);
    config_ = testing::tiny_config(folder_.path(), {"phase.two.replay={fraction = 0.25, from = \"one\"}"});
    data_.open(config_);
    state_.seed = 5;
    state_.step = 6;
    state_.loader.cursors = {{"content", {24, 0, 24}}};
    state_.records = {{.name = "one"}};
  }
  data::Sampler sampler(const data::SamplerState& state = {}) {
    const PhaseConfig& phase = config_.phases[1];
    return {sampler_options(config_, phase), phase_draws(config_, phase, state_.records), state, data_.datasets()};
  }
  std::string content_of(const std::string& name) { return data_.at((folder_ / name).string()).contents().hash; }
  testing::TemporaryFolder folder_;
  RunConfig config_;
  InputData data_;
  TrainState state_;
};

TEST_F(PhaseRecordTest, SaysWhatANewPhaseDrawsFrom) {
  const auto drawing = sampler();
  const PhaseStart start{.folder = "", .step = 4};
  const auto record = new_record({config_, config_.phases[1], start, state_, drawing}, data_);
  EXPECT_EQ(record.name, "two");
  EXPECT_EQ(record.start_step, 4);
  EXPECT_EQ(record.first_step, 7);
  EXPECT_TRUE(record.shuffle);
  EXPECT_FALSE(record.has_changed);
  ASSERT_EQ(record.sources.size(), 1u);
  EXPECT_EQ(record.sources[0].spec.name, "b");
  EXPECT_EQ(record.sources[0].content, content_of("b"));
  EXPECT_EQ(record.drawn.start_cursors, state_.loader.cursors);
  EXPECT_EQ(record.drawn.draws, 0);
  EXPECT_EQ(record.drawn.seed, 5u);
  ASSERT_EQ(record.drawn.replay.size(), 1u);
  EXPECT_EQ(record.drawn.replay[0].content, content_of("a"));
  EXPECT_EQ(record.drawn.replay_fraction, 0.25);
  EXPECT_FALSE(record.drawn.replay_seen);
  EXPECT_EQ(record.sources[0].objective.dump(), R"({"kind":"causal"})");
}

TEST_F(PhaseRecordTest, CountsThePhasesOwnDraws) {
  PhaseRecord record;
  count_draws(record, {{"a", 3}, {"b", 2}, {"replay/c", 7}});
  count_draws(record, {{"a", 1}});
  EXPECT_EQ(record.drawn.draws, 6);
}

TEST_F(PhaseRecordTest, RemembersThatTheMixtureChangedAfterADraw) {
  auto before = sampler();
  before.next();
  const auto state = before.state();
  PhaseRecord record{.name = "two", .drawn = {.draws = 1}};
  record.sources = recorded_sources(config_, config_.phases[1], data_);
  const auto same = sampler(state);
  EXPECT_FALSE(continued_record(record, {config_, config_.phases[1], state, same}, data_).has_changed);
  config_.phases[1].replay->fraction = 0.5;
  const auto other = sampler(state);
  const auto changed = continued_record(record, {config_, config_.phases[1], state, other}, data_);
  EXPECT_TRUE(changed.has_changed);
  EXPECT_EQ(changed.sources[0].content, content_of("b"));
  EXPECT_EQ(changed.drawn.replay[0].content, content_of("a"));
  record.drawn.draws = 0;  // the draws so far were replay, which is not counted here
  EXPECT_TRUE(continued_record(record, {config_, config_.phases[1], state, other}, data_).has_changed);
}

// Examples of two objectives are no mixture that can be repeated.
TEST_F(PhaseRecordTest, RemembersThatTheObjectiveChanged) {
  auto before = sampler();
  before.next();
  const auto state = before.state();
  PhaseRecord record{.name = "two", .drawn = {.draws = 1}};
  record.sources = recorded_sources(config_, config_.phases[1], data_);
  auto changed = config_;
  changed.phases[1].objective = *parse_toml("o = {kind = \"prefix_lm\"}", "r.toml", "").find("o");
  const auto same = sampler(state);
  const auto continued = continued_record(record, {changed, changed.phases[1], state, same}, data_);
  EXPECT_TRUE(continued.has_changed);
  EXPECT_EQ(continued.sources[0].objective.at("kind").as_string(), "prefix_lm");
}

// A number such as 2.0 is a whole one in a file, and is the same option.
TEST_F(PhaseRecordTest, AnObjectiveWithNumbersIsThatOfACheckpoint) {
  auto& phase = config_.phases[1];
  phase.objective = *parse_toml("o = {kind = \"span_corruption\", mean_span = 2.0}", "r.toml", "").find("o");
  const auto now = recorded_sources(config_, phase, data_);
  const Json written = Json::parse(now[0].objective.dump(), "state.json");
  EXPECT_EQ(now[0].objective, written);
}

TEST_F(PhaseRecordTest, ComesBackFromJson) {
  PhaseRecord record{.name = "two", .start_step = 4, .first_step = 7, .shuffle = false};
  record.sources = {{.spec = {"b", "/data/b", 2.0, ""},
                     .content = "c",
                     .tokenizer = "t",
                     .objective = Json::Object{{"kind", "ul2"}, {"mixture", "openmoe"}}},
                    {.spec = {"d", "/d", 1, ""}}};
  record.has_changed = true;
  record.drawn = {.start_cursors = {{"c", {3, 0, 3}}, {"d", {2, 5, 7}}},
                  .draws = 9,
                  .seed = 5,
                  .replay = {{"e", 0.5}, {"f", 1, Json::Object{{"kind", "prefix_lm"}}}},
                  .replay_fraction = 0.25};
  const Json written = Json::Object{{"phases", Json::Array{record_json(record)}}};
  const auto read = read_records(written, "state.json", 1);
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(record_json(read[0]), record_json(record));
  EXPECT_EQ(read[0].sources[0].tokenizer, "t");
  EXPECT_EQ(read[0].sources[1].content, "");
  EXPECT_EQ(read[0].drawn.seed, 5u);
  EXPECT_EQ(read[0].drawn.start_cursors, record.drawn.start_cursors);
  EXPECT_EQ(read[0].sources[0].objective, record.sources[0].objective);
  EXPECT_EQ(read[0].sources[1].objective.at("kind").as_string(), "causal");  // which is not written down
  EXPECT_EQ(written.at("phases").at(0).at("sources").at(1).find("objective"), nullptr);
  EXPECT_EQ(read[0].drawn.replay[1].objective, record.drawn.replay[1].objective);
  EXPECT_THAT(message_of<CheckpointError>([] { read_records(Json::object(), "state.json", 1); }),
              ::testing::HasSubstr("state.json"));
}

}  // namespace
}  // namespace evenkeel::train
