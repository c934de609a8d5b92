// What every registered optimizer keeps: it learns, its state passes a checkpoint to the bit, it leaves frozen
// parameters and their state alone, and it refuses keys that it does not read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/gradients.h"
#include "support/optimizers.h"
#include "support/trained_runs.h"
#include "train/step.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

// An optimizer, a rate for it, and keys under which all of its kinds of state are there.
struct Form {
  std::string kind, keys, rate;
};
void PrintTo(const Form& form, std::ostream* out) { *out << form.kind << " {" << form.keys << "}"; }

std::vector<Form> forms() {
  std::vector<Form> out;
  for (const auto& kind : optim::optimizer_kinds()) {
    const std::string name = kind.name;
    if (name == "adafactor") {
      out.push_back({name, ", min_factored = 6", "0.1"});
      out.push_back({name, ", min_factored = 6, momentum = 0.9, weight_decay = 1e-4, clip_norm = 1.0", "0.1"});
      out.push_back({name, ", scale_parameter = false", "1e-2"});
    } else {
      out.push_back({name, "", "1e-2"});
    }
  }
  return out;
}

class OptimizerContract : public testing::RunTest, public ::testing::WithParamInterface<Form> {
 protected:
  std::vector<std::string> overrides(std::vector<std::string> more = {}) const {
    more.push_back("optimizer={kind = \"" + GetParam().kind + "\"" + GetParam().keys + "}");
    more.push_back("phase.one.schedule={kind = \"constant\", lr_max = " + GetParam().rate + "}");
    more.push_back("phase.two.schedule={kind = \"constant\", lr_max = " + GetParam().rate + "}");
    return more;
  }
  double rate() const { return std::stod(GetParam().rate); }
};

data::Batch fixed_batch() {
  data::Batch batch;
  batch.tokens = testing::random_ids(32, testing::kTinyVocabulary, 1).view({4, 8});
  batch.targets = testing::random_ids(32, testing::kTinyVocabulary, 2).view({4, 8});
  return batch;
}

TEST_P(OptimizerContract, LearnsAFixedBatch) {
  const auto recipe = config(overrides());
  const model::Transformer model(recipe.model);
  const auto optimizer = run_optimizer(recipe);
  auto state = initial_state(recipe, model, at::kCPU);
  const std::vector batches = {fixed_batch()};
  const double first = train_step(model, {*optimizer, rate(), {}}, batches, state).loss;
  double last = 0;
  for (int i = 0; i < 40; ++i) last = train_step(model, {*optimizer, rate(), {}}, batches, state).loss;
  EXPECT_NEAR(first, std::log(16.0), 0.1);  // uniform guesses at initialisation
  EXPECT_LT(last, 0.8 * first);
}

TEST_P(OptimizerContract, ResumesToTheBit) {
  EXPECT_EQ(train("whole", overrides()), TrainOutcome::finished);
  auto stopped = options("stopped");
  stopped.keep_steps = {4};
  train_run(config(overrides()), stopped);
  for (const int64_t step : {6, 10}) std::filesystem::remove_all(checkpoint("stopped", step));
  train("stopped", overrides(), /*resume=*/true);
  EXPECT_EQ(timeless_lines("stopped"), timeless_lines("whole"));
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
    EXPECT_EQ(read_file(checkpoint("stopped", 10) / file), read_file(checkpoint("whole", 10) / file)) << file;
}

// A phase that resets it begins like a run from those weights: no state of the phase before is left.
TEST_P(OptimizerContract, StartsFreshWhereAPhaseSaysSo) {
  train("kept", overrides());
  train("reset", overrides({"phase.two.start={optimizer = \"reset\"}"}));
  const auto recipe = config(overrides());
  const model::Transformer model(recipe.model);
  const auto kept = load_checkpoint(checkpoint("kept", 10), recipe, model);
  const auto reset = load_checkpoint(checkpoint("reset", 10), recipe, model);
  EXPECT_EQ(kept.optimizer.updates.front(), 10);
  EXPECT_EQ(reset.optimizer.updates.front(), 4);
  EXPECT_FALSE(testing::same_bits(kept.params.at("head.weight").detach(), reset.params.at("head.weight").detach()));
}

TEST_P(OptimizerContract, LeavesFrozenParametersAndTheirStateAlone) {
  const auto recipe = config(overrides());
  const model::Transformer model(recipe.model);
  const auto optimizer = run_optimizer(recipe);
  auto state = initial_state(recipe, model, at::kCPU);
  const std::string frozen = "layers.0.experts.gate_up";
  const auto before = state.params.at(frozen).detach().clone();
  const auto factors = testing::factors_of(state.params, {{frozen, 0.0}});
  for (int i = 0; i < 2; ++i) train_step(model, {*optimizer, rate(), factors}, std::vector{fixed_batch()}, state);
  EXPECT_TRUE(testing::same_bits(state.params.at(frozen).detach(), before));
  int64_t n_moments = 0;
  for (const auto& [name, moment] : state.optimizer.moments) {
    const bool is_frozen = name.find(frozen) != std::string::npos;
    n_moments += is_frozen;
    EXPECT_EQ(moment.abs().max().item<double>() == 0, is_frozen) << name;
  }
  EXPECT_GT(n_moments, 0);
  for (size_t i = 0; i < state.params.size(); ++i)
    EXPECT_EQ(state.optimizer.updates.at(i), state.params.name(i) == frozen ? 0 : 2) << state.params.name(i);
}

TEST_P(OptimizerContract, RefusesUnknownKeysAndListsItsOptionsSoThatTheyReadBack) {
  EXPECT_THAT(message_of<ConfigError>([&] { config({"optimizer={kind = \"" + GetParam().kind + "\", speed = 1.0}"}); }),
              HasSubstr("unknown key 'optimizer.speed'"));
  const auto options = run_optimizer(config(overrides()))->options();
  EXPECT_EQ(options.at("kind").as_string(), GetParam().kind);
  EXPECT_EQ(optim::make_optimizer({}, config_from_json(options, "resolved.json"))->options(), options);
  EXPECT_EQ(run_config_json(config(overrides())).at("optimizer"), options);
}

TEST_P(OptimizerContract, HoldsItsMomentsUnderNamesOfItsOwn) {
  const auto optimizer = run_optimizer(config(overrides()));
  std::set<std::string> names;
  for (const auto& form : optimizer->moment_forms()) {
    EXPECT_TRUE(names.insert(form.name).second) << form.name;
    EXPECT_FALSE(form.name.starts_with("router_state.")) << form.name;  // which stand beside them
  }
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerContract, ::testing::ValuesIn(forms()),
                         [](const auto& test) { return test.param.kind + std::to_string(test.index); });

}  // namespace
}  // namespace evenkeel::train
