#include "train/config.h"

#include "model/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/tiny_run.h"
#include "train/inputs.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::TemporaryFolder;
using testing::tiny_config;

TEST(RunConfig, FillsDefaults) {
  const auto config = tiny_config("/data");
  EXPECT_EQ(config.train.micro_batch_size, 4);
  EXPECT_EQ(config.train.seed, 1);
  EXPECT_EQ(config.train.checkpoint_every, (Duration{0, Unit::steps}));
  EXPECT_EQ(config.model.n_kv_heads, 2);
  EXPECT_EQ(config.model.head_dim, 4);
  EXPECT_EQ(run_optimizer(config)->options().at("weight_decay").as_double(), 0.1);
  EXPECT_EQ(run_optimizer(config)->clip_norm(), 1.0);
  EXPECT_TRUE(config.phases[0].shuffle);
  EXPECT_EQ(config.tokens_per_step(), 32);
  EXPECT_EQ(config.total_steps(), 10);
}

TEST(RunConfig, PathsStartInTheFolderOfTheRecipe) {
  const auto config =
      tiny_config("/data/deep", {"phase.two.data=[{name = \"b\", path = \"../b\"}, {name = \"c\", path = \"/c\"}]"});
  EXPECT_EQ(config.phases[0].data[0].path.value, "/data/deep/a");
  EXPECT_EQ(config.phases[0].eval->data[0].path.value, "/data/deep/a-heldout");
  // A value from the command line starts where the command runs.
  EXPECT_EQ(config.phases[1].data[1].path.value, "/c");
}

TEST(RunConfig, EvaluationIsInheritedAndNothingElse) {
  const auto config = tiny_config(
      "/data", {"phase.one.eval.max_tokens=20", "phase.one.shuffle=false", "phase.one.freeze=[\"head.*\"]"});
  ASSERT_TRUE(config.phases[1].eval.has_value());
  EXPECT_EQ(config.phases[1].eval->data[0].name, "held");
  EXPECT_EQ(config.phases[1].eval->max_tokens, 20);
  EXPECT_TRUE(config.phases[1].shuffle);
  EXPECT_TRUE(config.phases[1].freeze.empty());
}

TEST(RunConfig, LengthsAreWholeStepsRoundedUp) {
  const TemporaryFolder folder;
  testing::write_tiny_sets(folder);
  const auto steps_of = [&](const std::string& key, const std::string& value) {
    ConfigNode root = testing::tiny_recipe(folder.path());
    for (auto& phase : root.find("phase")->list()) phase.erase("steps");
    apply_override(root, "phase.one." + key + "=" + value);
    apply_override(root, "phase.two.steps=1");
    EXPECT_EQ(read_run_config(root).phases[0].sequences_per_epoch, 0);
    const auto config = open_run_config(root);
    return config.phases[0].total_steps(config.train);
  };
  EXPECT_EQ(steps_of("tokens", "\"1 tokens\""), 1);
  EXPECT_EQ(steps_of("tokens", "32"), 1);
  EXPECT_EQ(steps_of("tokens", "33"), 2);
  EXPECT_EQ(steps_of("tokens", "\"2k tokens\""), 63);  // 2000 / 32 = 62.5
  EXPECT_EQ(steps_of("steps", "\"7 steps\""), 7);
  EXPECT_EQ(steps_of("tokens", "\"1 epoch\""), 5);     // 20 samples of 8 tokens, 4 a step
  EXPECT_EQ(steps_of("tokens", "\"1.5 epochs\""), 8);  // 30 samples: 7.5 steps
}

TEST(RunConfig, ReadsWhereAPhaseStarts) {
  const auto config = tiny_config("/data", {"phase.two.start={from = \"one\", step = 3, optimizer = \"reset\"}"});
  ASSERT_TRUE(config.phases[1].start.has_value());
  EXPECT_EQ(config.phases[1].start->from, "one");
  EXPECT_EQ(config.phases[1].start->step.number, 3);
  EXPECT_EQ(config.phases[1].start->optimizer, OptimizerStart::reset);
}

TEST(RunConfig, ResolvedHasEveryKeyAndWholeSteps) {
  const Json json = run_config_json(tiny_config("/data", {"train.micro_batch_size=2"}));
  EXPECT_EQ(json.at("model").at("n_experts").as_int(), 4);
  EXPECT_EQ(json.at("model").at("router").at("kind").as_string(), "top_k");
  EXPECT_EQ(json.at("train").at("micro_batch_size").as_int(), 2);
  EXPECT_EQ(json.at("optimizer").at("eps").as_double(), 1e-8);
  const Json& phase = json.at("phase").at(1);
  EXPECT_EQ(phase.at("steps").as_int(), 4);
  EXPECT_EQ(phase.at("tokens").as_int(), 128);
  EXPECT_EQ(phase.at("schedule").at("lr_min").as_double(), 1e-3);
  EXPECT_EQ(phase.at("data").at(0).at("path").as_string(), "/data/b");
  EXPECT_EQ(phase.at("eval").at("data").at(0).at("name").as_string(), "held");
  for (const char* key : {"shuffle", "replay", "start", "freeze", "slow"}) EXPECT_NE(phase.find(key), nullptr) << key;
}

struct Refusal {
  std::string assignment, words;
};
class RefusedConfig : public ::testing::TestWithParam<Refusal> {};
TEST_P(RefusedConfig, NamesTheValueAndTheNeed) {
  const auto message = message_of<ConfigError>([&] { tiny_config("/data", {GetParam().assignment}); });
  EXPECT_THAT(message, HasSubstr(GetParam().words));
  EXPECT_THAT(message, HasSubstr("got "));
  EXPECT_THAT(message, HasSubstr("; need "));
}
INSTANTIATE_TEST_SUITE_P(
    Each, RefusedConfig,
    ::testing::Values(
        Refusal{"train.batch_size=0", "got 0; need"},
        Refusal{"train.micro_batch_size=3", "a divisor of batch_size = 4"},
        Refusal{"train.sequence_length=-8", "got -8; need"}, Refusal{"train.seed=-1", "got -1; need"},
        Refusal{"train.keep_last=-1", "got -1; need 0"},
        Refusal{"phase.two.steps=99999999999999999999",
                "'99999999999999999999'; need a number that is not negative, below 1e18"},
        Refusal{"phase.two.steps=1e13", "of 1e+13 steps; need at least 1 (and fewer than 1e12)"},
        Refusal{"train={batch_size = 2147483647, sequence_length = 2147483647, micro_batch_size = 1}",
                " tokens; need fewer than 9e+15 tokens in all"},
        Refusal{"model={d_model = 2147483640, n_layers = 10000}", "parameters; need fewer than 1e+15"},
        Refusal{"train.checkpoint_every=\"1 epoch\"", "need steps or tokens"},
        Refusal{"train.checkpoint_every=5", "need steps or tokens"}, Refusal{"phase.two.name=\"one\"", "twice"},
        Refusal{"phase.two.steps=0", "need more than 0"}, Refusal{"phase.two.data=[]", "without sources"},
        Refusal{"phase.two.data=[{name = \"b\"}]", "without a path"},
        Refusal{"phase.two.data=[{path = \"b\"}]", "without a name"},
        Refusal{"phase.two.data=[{name = \"b\", path = \"b\", weight = -1}]", "weight -1"},
        Refusal{"phase.two.data=[{name = \"b\", path = \"b\", weight = 0}]", "sum to 0"},
        Refusal{"phase.two.data=[{name = \"b\", path = \"b\", weight = nan}]", "weight = nan"},
        Refusal{"phase.two.data=[{name = \"b\", path = \"b\", weight = -inf}]", "weight = -inf"},
        Refusal{"phase.two.data=[{name = \"replay/b\", path = \"b\"}]", "got the name 'replay/b'"},
        Refusal{"phase.two.freeze=[\"*\"]", "got phase 'two' with all "},
        Refusal{"phase.two.slow={\"*\" = 0}", "parameters frozen"},
        Refusal{"model.init=foo", "--set model.init: got 'foo'"},
        Refusal{"phase.two.data=[{name = \"b\", path = \"b\"}, {name = \"b\", path = \"c\"}]", "the name 'b' twice"},
        Refusal{"phase.two.schedule.lr_mx=1", "lr_mx"},
        Refusal{"phase.two.eval={every = \"2 steps\"}", "eval without data"},
        Refusal{"phase.one.eval.every=\"0.5 epochs\"", "need steps or tokens"},
        Refusal{"phase.two.replay={fraction = 1.5, from = \"one\"}", "need 0..1"},
        Refusal{"phase.two.replay={fraction = 0.5}", "neither from nor data"},
        Refusal{"phase.two.replay={fraction = 0.5, from = \"two\"}", "an earlier phase"},
        Refusal{"phase.two.replay={fraction = 0.5, from = \"one\", mode = \"old\"}",
                "got phase.replay.mode = 'old'; need one of: fresh, seen"},
        Refusal{"phase.two.replay={fraction = 0.5, data = [{name = \"a\", path = \"a\"}], mode = \"seen\"}",
                "mode = 'fresh'"},
        Refusal{"phase.two.freeze=[\"layers.7.*\"]", "layers.7.*"},
        Refusal{"phase.two.slow={\"head.weight\" = -1}", "slow factor -1"},
        Refusal{"phase.two.start={step = 0}", "a step from 1"},
        Refusal{"phase.two.start={optimizer = \"half\"}",
                "got phase.start.optimizer = 'half'; need one of: keep, reset"},
        Refusal{"phase.two.start={at = 1}", "phase.start"},
        Refusal{"phase.one.start={step = 3}", "start in the first phase"}, Refusal{"trian.seed=1", "train"},
        Refusal{"phase.two.replay={fraction = 1.5, from = \"one\"}",
                "--set phase.two.replay: got replay.fraction = 1.5"},
        Refusal{"phase.two.freeze=[\"no.such\"]", "--set phase.two.freeze: got pattern 'no.such'"},
        Refusal{"phase.two.steps=1e13", "--set phase.two.steps: got phase 'two' of 1e+13 steps"},
        Refusal{"phase.one.eval.max_tokens=-1", "--set phase.one.eval.max_tokens: got eval.max_tokens = -1"},
        Refusal{"optimizer.eps=0", "--set optimizer.eps: got 0; need more than 0"},
        Refusal{"optimizer.kind=\"sgd\"", "sgd"}, Refusal{"optimizer=\"adafactor\"", "need a table"},
        Refusal{"optimizer={kind = \"adafactor\", eps = 0.0}", "optimizer.eps"},
        Refusal{"optimizer={kind = \"adafactor\", betas = [0.9, 0.95]}", "unknown key 'optimizer.betas'"},
        Refusal{"train.logit_z_coefficient=-1", "--set train.logit_z_coefficient: got -1; need 0 (none) or more"},
        Refusal{"train.label_smoothing=0.1",
                "--set train.label_smoothing: got 0.1; need the key left out: targets are never smoothed"}));

// In a recipe that has the table, the place is the option's nevertheless.
TEST(RunConfig, AnOptionAboveATableOfTheRecipeIsThePlace) {
  for (const auto& [option, value] : {std::pair("fraction", "1.5"), {"from", "two"}, {"mode", "old"}}) {
    ConfigNode root = testing::tiny_recipe("/data");
    root.find("phase")->list()[1].set(
        "replay", *parse_toml("replay = {fraction = 0.5, from = \"one\"}", "r.toml", "").find("replay"));
    apply_override(root, std::string("phase.two.replay.") + option + "=" + value);
    EXPECT_THAT(testing::message_of<ConfigError>([&] { read_run_config(root); }),
                ::testing::StartsWith(std::string("--set phase.two.replay.") + option + ": got "));
  }
}

TEST(RunConfig, RefusesALackOfParts) {
  for (const char* key : {"model", "train", "phase"}) {
    ConfigNode root = testing::tiny_recipe("/data");
    root.erase(key);
    EXPECT_THAT(message_of<ConfigError>([&] { read_run_config(root); }), HasSubstr(key));
  }
  ConfigNode root = testing::tiny_recipe("/data");
  for (auto& phase : root.find("phase")->list()) phase.erase("steps");
  EXPECT_THAT(message_of<ConfigError>([&] { read_run_config(root); }), HasSubstr("neither tokens nor steps"));
  root = testing::tiny_recipe("/data");
  for (auto& phase : root.find("phase")->list()) phase.set("tokens", *phase.find("steps"));
  EXPECT_THAT(message_of<ConfigError>([&] { read_run_config(root); }), HasSubstr("both tokens and steps"));
}

}  // namespace
}  // namespace evenkeel::train
