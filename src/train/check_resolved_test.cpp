#include "train/check_resolved.h"

#include <cmath>
#include <functional>
#include <numbers>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/made_run.h"
#include "train/check_run.h"
#include "train/state.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;

// A run of the tiny recipe whose last checkpoint is of step 8, the second of phase two.
class CheckResolved : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_made_run(folder_ / "run", config_, {testing::made_step(1, "one", {1.0, 1.0})});
    const model::Transformer model(config_.model);
    auto state = initial_state(config_, model, at::kCPU);
    state.step = 8;
    state.tokens = 8 * 32;
    state.phase_index = 1;
    state.phase_step = 2;
    for (const auto& [name, source, first] : {std::tuple("one", "a", 1), std::tuple("two", "b", 7)}) {
      PhaseRecord record;
      record.name = name;
      record.first_step = first;
      record.sources = {{source, "/elsewhere/" + std::string(source), 1.0, ""}};
      record.drawn.seed = state.seed;
      state.records.push_back(record);
    }
    save_checkpoint(folder_ / "run", state, config_);
  }
  std::string message_with(const std::function<void(Json&)>& change) const {
    Arm arm;
    arm.run = folder_ / "run";
    arm.resolved = run_config_json(config_);
    change(arm.resolved);
    return testing::message_of<DataError>([&] { check_resolved_beside_checkpoint(arm, false); });
  }
  testing::TemporaryFolder folder_;
  RunConfig config_ = testing::tiny_config("/data");
};

TEST_F(CheckResolved, TakesTheRecipeOfTheCheckpointWhereverItsDataLies) {
  Arm arm;
  arm.run = folder_ / "run";
  arm.resolved = run_config_json(config_);
  check_resolved_beside_checkpoint(arm, false);
  arm.resolved["train"]["seed"] = 7;
  arm.resolved["changed"] = Json::Array{Json::Object{{"step", 3}}};
  check_resolved_beside_checkpoint(arm, false);
}

TEST_F(CheckResolved, NamesTheKeyThatTheCheckpointHasOtherwise) {
  EXPECT_THAT(message_with([](Json& json) { json["train"]["seed"] = 7; }),
              HasSubstr("resolved.json: train.seed: got 7; need 1, as "));
  EXPECT_THAT(message_with([](Json& json) { json["model"]["top_k"] = 1; }),
              HasSubstr("resolved.json: model.top_k: got 1; need 2, as "));
  EXPECT_THAT(message_with([](Json& json) { json["train"]["batch_size"] = 8; }),
              HasSubstr("resolved.json: train.batch_size: got 8; need 4, as "));
  EXPECT_THAT(message_with([](Json& json) { json["phase"].as_array()[0]["steps"] = 5; }),
              HasSubstr("resolved.json: phase[1].first_step: got 6; need 7, as "));
  EXPECT_THAT(message_with([](Json& json) { json["phase"].as_array()[1]["data"].as_array()[0]["name"] = "x"; }),
              HasSubstr("resolved.json: phase[1].data[0].name: got \"x\"; need \"b\", as "));
  EXPECT_THAT(message_with([](Json& json) { json["phase"].as_array().pop_back(); }),
              HasSubstr("resolved.json: got 1 phase; need 2 at least, as "));
}

TEST_F(CheckResolved, SeveralOtherRatesAreOfAnotherScheduleAndOneIsOfItsLine) {
  Arm arm;
  arm.run = folder_ / "run";
  arm.resolved = run_config_json(config_);
  auto row = testing::made_step(1, "one", {1.0, 1.0});
  row.lr = 0.01;
  RateCheck rates(arm);
  rates.add(row, "m.jsonl, line 1");
  rates.require_same();
  row.lr = 0.02;
  row.step = row.phase_step = 2;
  rates.add(row, "m.jsonl, line 2");
  EXPECT_THAT(
      testing::message_of<DataError>([&] { rates.require_same(); }),
      HasSubstr("m.jsonl, line 2: got 0.02 as 'lr'; need 0.01, as the schedule of phase 'one' in resolved.json"));
  row.step = row.phase_step = 3;
  rates.add(row, "m.jsonl, line 3");
  EXPECT_THAT(
      testing::message_of<DataError>([&] { rates.require_same(); }),
      HasSubstr("resolved.json: phase 'one': got a schedule that gives 0.01 as the learning rate of its step 2; "
                "need 0.02, as m.jsonl, line 2 says, and another one for 1 more of its lines"));
}

// 1 + cos(pi p) cancels near the end: the last bit of the cosine is 1e-16 of the peak, and 1e-7 of the rate here.
TEST_F(CheckResolved, ARateNearTheEndOfACosineToNothingIsKnownToThePeaksRounding) {
  constexpr int64_t kSteps = 300000;
  Arm arm;
  arm.run = folder_ / "run";
  arm.resolved = run_config_json(config_);
  auto& phase = arm.resolved["phase"].as_array()[0];
  phase["steps"] = kSteps;
  phase["tokens"] = kSteps * 32;
  phase["schedule"] = Json::Object{{"kind", "cosine"}, {"lr_max", 0.01}, {"lr_min", 0.0}};
  const double sine = std::sin(std::numbers::pi / (2 * kSteps)), exact = 0.01 * sine * sine;  // does not cancel
  auto row = testing::made_step(kSteps - 1, "one", {1.0, 1.0});
  row.lr = exact;
  RateCheck rates(arm);
  rates.add(row, "m.jsonl, line 1");
  EXPECT_NO_THROW(rates.require_same());
  row.lr = 1.001 * exact;
  rates.add(row, "m.jsonl, line 2");
  EXPECT_THAT(testing::message_of<DataError>([&] { rates.require_same(); }), HasSubstr("m.jsonl, line 2: got "));
}

}  // namespace
}  // namespace evenkeel::train
