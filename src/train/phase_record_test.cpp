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
    state_.loader.cursors = {{"content", 24}};
    state_.records = {{.name = "one"}};
  }
  data::Sampler sampler(const data::SamplerState& state = {}) {
    return {sampler_options(config_), phase_draws(config_, config_.phases[1], state_.records), state, data_.datasets()};
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
  const auto record = new_record({config_.phases[1], start, state_, drawing}, data_);
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
  const auto same = sampler(state);
  EXPECT_FALSE(continued_record(record, {config_.phases[1], state, same}, data_).has_changed);
  config_.phases[1].replay->fraction = 0.5;
  const auto other = sampler(state);
  const auto changed = continued_record(record, {config_.phases[1], state, other}, data_);
  EXPECT_TRUE(changed.has_changed);
  EXPECT_EQ(changed.sources[0].content, content_of("b"));
  EXPECT_EQ(changed.drawn.replay[0].content, content_of("a"));
  record.drawn.draws = 0;  // the draws so far were replay, which is not counted here
  EXPECT_TRUE(continued_record(record, {config_.phases[1], state, other}, data_).has_changed);
}

TEST_F(PhaseRecordTest, ComesBackFromJson) {
  PhaseRecord record{.name = "two", .start_step = 4, .first_step = 7, .shuffle = false};
  record.sources = {{.spec = {"b", "/data/b", 2.0, ""}, .content = "c", .tokenizer = "t"},
                    {.spec = {"d", "/d", 1, ""}}};
  record.has_changed = true;
  record.drawn = {.start_cursors = {{"c", 3}}, .draws = 9, .seed = 5, .replay = {{"e", 0.5}}, .replay_fraction = 0.25};
  const Json written = Json::Object{{"phases", Json::Array{record_json(record)}}};
  const auto read = read_records(written, "state.json", 1);
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(record_json(read[0]), record_json(record));
  EXPECT_EQ(read[0].sources[0].tokenizer, "t");
  EXPECT_EQ(read[0].sources[1].content, "");
  EXPECT_EQ(read[0].drawn.seed, 5u);
  EXPECT_THAT(message_of<CheckpointError>([] { read_records(Json::object(), "state.json", 1); }),
              ::testing::HasSubstr("state.json"));
}

}  // namespace
}  // namespace evenkeel::train
