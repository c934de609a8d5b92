#include "train/state.h"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/manifest.h"
#include "checkpoint/safetensors.h"
#include "support/gradients.h"
#include "support/tiny_run.h"
#include "train/step.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::TemporaryFolder;

// A state after three steps, with every field set.
struct Case {
  Case() : config(testing::tiny_config("/data")), model(config.model), state(initial_state(config, model, at::kCPU)) {
    data::Batch batch;
    batch.tokens = testing::random_ids(32, testing::kTinyVocabulary, 1).view({4, 8});
    batch.targets = testing::random_ids(32, testing::kTinyVocabulary, 2).view({4, 8});
    for (int i = 0; i < 3; ++i)
      train_step(model, {*run_optimizer(config), 1e-2, testing::factors_of(state.params, {{"head.weight", 0.0}})},
                 std::vector{batch}, state);
    state.phase_index = 1;
    state.phase_step = 2;
    state.loader.cursors = {{"left", {7, 0, 7}}, {"right", {3, 2, 9}}};
    state.loader.mixture = {{"left", false, 0.75, 5}, {"right", true, 0.25, 3}};
    state.loader.shuffled = {{"left", true}, {"right", false}};
    state.loader.replay_draws = 3;
    PhaseRecord record;
    record.name = "one";
    record.start_step = 0;
    record.first_step = 1;
    record.drawn.draws = 12;
    record.shuffle = false;
    record.drawn.start_cursors = {{"left", {1, 0, 1}}};
    record.drawn.seed = 9;
    record.drawn.replay = {{"right", 2.5}};
    record.drawn.replay_fraction = 0.25;
    record.drawn.replay_seen = true;
    record.sources = {{.spec = {"a", "/data/a", 0.5, ""}}, {.spec = {"b", "/data/b", 1.5, ""}}};
    state.records = {record};
  }
  std::filesystem::path save() const {
    save_checkpoint(folder.path(), state, config);
    return folder / "checkpoints" / "step-00000003";
  }
  TrainState load() const { return load_checkpoint(folder / "checkpoints" / "step-00000003", config, model); }
  // Writes the checkpoint again, whole, with its files changed by `change`.
  void rewrite(const std::function<void(const std::filesystem::path&)>& change) const {
    const auto path = save();
    const TemporaryFolder copy;
    std::filesystem::copy(path, copy.path(), std::filesystem::copy_options::recursive);
    checkpoint::save_folder(path, [&](const auto& temporary) {
      for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"})
        std::filesystem::copy_file(copy / name, temporary / name);
      change(temporary);
    });
  }
  TemporaryFolder folder;
  RunConfig config;
  model::Transformer model;
  TrainState state;
};

void expect_same(const ops::Params& left, const ops::Params& right) {
  ASSERT_EQ(left.size(), right.size());
  for (const auto& [name, tensor] : left)
    EXPECT_TRUE(testing::same_bits(tensor.detach(), right.at(name).detach())) << name;
}

TEST(Checkpoint, RoundTripIsBitEqual) {
  const Case c;
  c.save();
  const auto loaded = c.load();
  expect_same(loaded.params, c.state.params);
  EXPECT_EQ(loaded.optimizer.kind, c.state.optimizer.kind);
  expect_same(loaded.optimizer.moments, c.state.optimizer.moments);
  EXPECT_EQ(loaded.optimizer.updates, c.state.optimizer.updates);
  EXPECT_EQ(loaded.optimizer.updates.at(0), 3);
  EXPECT_EQ(loaded.router_states.size(), c.state.router_states.size());
  EXPECT_EQ(loaded.step, 3);
  EXPECT_EQ(loaded.tokens, 96);
  EXPECT_EQ(loaded.phase_index, 1);
  EXPECT_EQ(loaded.phase_step, 2);
  EXPECT_EQ(data::to_json(loaded.loader), data::to_json(c.state.loader));
  ASSERT_EQ(loaded.records.size(), 1u);
  const auto& record = loaded.records[0];
  EXPECT_EQ(record.name, "one");
  EXPECT_EQ(record.first_step, 1);
  EXPECT_EQ(record.drawn.draws, 12);
  EXPECT_FALSE(record.shuffle);
  EXPECT_EQ(record.drawn.start_cursors.at("left").samples, 1);
  EXPECT_EQ(record.drawn.seed, 9u);
  ASSERT_EQ(record.drawn.replay.size(), 1u);
  EXPECT_EQ(record.drawn.replay[0].content, "right");
  EXPECT_EQ(record.drawn.replay[0].weight, 2.5);
  EXPECT_EQ(record.drawn.replay_fraction, 0.25);
  EXPECT_TRUE(record.drawn.replay_seen);
  ASSERT_EQ(record.sources.size(), 2u);
  EXPECT_EQ(record.sources[1].spec.path, "/data/b");
  EXPECT_EQ(record.sources[1].spec.weight, 1.5);
  for (const auto& [name, tensor] : loaded.params) EXPECT_TRUE(tensor.requires_grad() && tensor.is_leaf()) << name;
}

TEST(Checkpoint, TheSameStateGivesTheSameBytes) {
  const Case c;
  const auto first = read_file(c.save() / "model.safetensors"),
             optimizer = read_file(c.save() / "optimizer.safetensors"), state = read_file(c.save() / "state.json");
  EXPECT_EQ(read_file(c.save() / "model.safetensors"), first);
  EXPECT_EQ(read_file(c.save() / "optimizer.safetensors"), optimizer);
  EXPECT_EQ(read_file(c.save() / "state.json"), state);
}

TEST(Checkpoint, RefusesAMissingMoment) {
  const Case c;
  c.rewrite([&](const auto& folder) {
    checkpoint::NamedTensors tensors;
    for (const auto& [name, tensor] : c.state.optimizer.moments)
      if (name.starts_with("first.")) tensors.emplace_back(name, tensor);
    checkpoint::write_safetensors(folder / "optimizer.safetensors", tensors, {});
  });
  EXPECT_THAT(message_of<CheckpointError>([&] { c.load(); }), HasSubstr("second.embedding.weight"));
}

TEST(Checkpoint, RefusesAMomentOfAnotherShape) {
  const Case c;
  c.rewrite([&](const auto& folder) {
    checkpoint::NamedTensors tensors;
    for (const auto& [name, tensor] : c.state.optimizer.moments)
      tensors.emplace_back(name, name == "first.head.weight" ? tensor.t().contiguous() : tensor);
    checkpoint::write_safetensors(folder / "optimizer.safetensors", tensors, {});
  });
  EXPECT_THAT(message_of<CheckpointError>([&] { c.load(); }), HasSubstr("got 'first.head.weight' of another shape"));
}

TEST(Checkpoint, RefusesATensorThatIsNoMoment) {
  const Case c;
  c.rewrite([&](const auto& folder) {
    checkpoint::NamedTensors tensors;
    for (const auto& [name, tensor] : c.state.optimizer.moments) tensors.emplace_back(name, tensor);
    tensors.emplace_back("third.head.weight", c.state.optimizer.moments.tensor(0));
    checkpoint::write_safetensors(folder / "optimizer.safetensors", tensors, {});
  });
  EXPECT_THAT(message_of<CheckpointError>([&] { c.load(); }), HasSubstr("got 'third.head.weight', which is no moment"));
}

// What a checkpoint has of another optimizer is refused, unless the phase that starts there begins with fresh moments.
TEST(Checkpoint, MomentsOfAnotherOptimizerAreRefusedOrReset) {
  const Case c;
  const auto folder = c.save();
  auto other = c.config;
  other.optimizer = parse_toml("kind = \"adafactor\"", "r.toml", "");
  const auto message = message_of<ConfigError>([&] { load_checkpoint(folder, other, c.model); });
  EXPECT_THAT(message, HasSubstr("r.toml:1:1: got optimizer.kind = 'adafactor', and the moments of 'adamw' in"));
  EXPECT_THAT(message, HasSubstr("need 'adamw', or a phase that starts there with start.optimizer = \"reset\""));
  const auto state = load_checkpoint(folder, other, c.model, {.resets_optimizer = true});
  EXPECT_EQ(state.optimizer.kind, "adafactor");
  expect_same(state.params, c.state.params);
  for (const auto& [name, moment] : state.optimizer.moments) EXPECT_EQ(moment.abs().max().item<double>(), 0.0) << name;
  EXPECT_EQ(state.optimizer.updates, std::vector<int64_t>(state.params.size(), 0));
}

// Checkpoints of the first versions do not say whose moments they have.
TEST(Checkpoint, WithoutAnOptimizerHasTheMomentsOfAdamW) {
  const Case c;
  c.rewrite([&](const auto& folder) {
    std::string text = read_file(folder / "state.json");
    const std::string key = " \"optimizer\": \"adamw\",\n";
    const size_t found = text.find(key);
    ASSERT_NE(found, std::string::npos);
    write_file_atomically(folder / "state.json", text.erase(found, key.size()));
  });
  expect_same(c.load().optimizer.moments, c.state.optimizer.moments);
  EXPECT_EQ(c.load().optimizer.kind, "adamw");
}

TEST(Checkpoint, RefusesAnotherArchitecture) {
  const Case c;
  c.save();
  const auto wide = testing::tiny_config("/data", {"model.d_expert=7"});
  const model::Transformer model(wide.model);
  const auto message =
      message_of<CheckpointError>([&] { load_checkpoint(c.folder / "checkpoints" / "step-00000003", wide, model); });
  EXPECT_THAT(message, HasSubstr("layers.0.experts.gate_up"));
}

TEST(Checkpoint, RefusesADamagedState) {
  const Case c;
  const auto replace = [&](const std::string& from, const std::string& to) {
    c.rewrite([&](const auto& folder) {
      std::string text = read_file(folder / "state.json");
      const size_t found = text.find(from);
      ASSERT_NE(found, std::string::npos) << from;
      write_file_atomically(folder / "state.json", text.replace(found, from.size(), to));
    });
    return message_of<CheckpointError>([&] { c.load(); });
  };
  EXPECT_THAT(replace("\"phase_step\": 2", "\"phase_step\": -2"), HasSubstr("negative counter"));
  EXPECT_THAT(replace("\"phase_step\": 2", "\"phase_stop\": 2"),
              ::testing::EndsWith("step-00000003/state.json: got no key 'phase_step'; need it"));
  EXPECT_THAT(replace("evenkeel.checkpoint.v1", "evenkeel.checkpoint.v9"), HasSubstr("evenkeel.checkpoint.v1"));
  EXPECT_THAT(replace("\"embedding.weight\": 3", "\"embedding.wait\": 3"),
              HasSubstr("no optimizer_updates of 'embedding.weight'"));
}

TEST(Checkpoint, RefusesFlippedBytes) {
  const Case c;
  const auto path = c.save() / "model.safetensors";
  std::string bytes = read_file(path);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file_atomically(path, bytes);
  EXPECT_THROW(c.load(), CheckpointError);
}

TEST(InitialState, DependsOnTheSeedAlone) {
  const auto config = testing::tiny_config("/data"), other = testing::tiny_config("/data", {"train.seed=2"});
  const model::Transformer model(config.model);
  expect_same(initial_state(config, model, at::kCPU).params, initial_state(config, model, at::kCPU).params);
  EXPECT_FALSE(testing::same_bits(initial_state(config, model, at::kCPU).params.at("head.weight").detach(),
                                  initial_state(other, model, at::kCPU).params.at("head.weight").detach()));
  const auto state = initial_state(config, model, at::kCPU);
  EXPECT_EQ(state.router_states.size(), 2u);
  for (const auto& [name, moment] : state.optimizer.moments) EXPECT_EQ(moment.abs().max().item<double>(), 0.0) << name;
}

// ---- balancing states of routers ----

// Two steps of a loss_free model, saved.
struct Balanced {
  explicit Balanced(const std::vector<std::string>& more = {})
      : config(testing::tiny_config("/data", with(more))),
        model(config.model),
        state(initial_state(config, model, at::kCPU)) {
    data::Batch batch;
    batch.tokens = testing::random_ids(32, testing::kTinyVocabulary, 1).view({4, 8});
    batch.targets = testing::random_ids(32, testing::kTinyVocabulary, 2).view({4, 8});
    for (int i = 0; i < 2; ++i) train_step(model, {*run_optimizer(config), 1e-2, {}}, std::vector{batch}, state);
  }
  static std::vector<std::string> with(std::vector<std::string> more) {
    more.insert(more.begin(), {"model.balance={loss = []}", "model.router={kind = \"loss_free\"}"});
    return more;
  }
  std::filesystem::path save() const {
    save_checkpoint(folder.path(), state, config);
    return folder / "checkpoints" / "step-00000002";
  }
  TemporaryFolder folder;
  RunConfig config;
  model::Transformer model;
  TrainState state;
};

void expect_same_router_states(const std::vector<ops::Params>& left, const std::vector<ops::Params>& right) {
  ASSERT_EQ(left.size(), right.size());
  for (size_t layer = 0; layer < left.size(); ++layer) expect_same(left[layer], right[layer]);
}

TEST(Checkpoint, RouterStatesComeBackWithTheirTypes) {
  const Balanced c;
  EXPECT_GT(c.state.router_states[0].at("bias").abs().max().item<double>(), 0);
  EXPECT_EQ(c.state.router_states[1].at("tokens").item<int64_t>(), 64);
  const auto loaded = load_checkpoint(c.save(), c.config, c.model);
  expect_same_router_states(loaded.router_states, c.state.router_states);
}

// Also where a phase starts from it, or a run goes on with a changed recipe.
TEST(Checkpoint, RefusesARouterStateMadeForAnotherOption) {
  const Balanced c;
  const auto folder = c.save();
  const auto changed = testing::tiny_config("/data", Balanced::with({"model.router.score=\"softmax_pre\""}));
  EXPECT_THAT(message_of<ConfigError>([&] { load_checkpoint(folder, changed, model::Transformer(changed.model)); }),
              HasSubstr("model.router.score: got \"softmax_pre\"; need \"sigmoid\""));
}

TEST(InitialState, TakesTheRouterStatesOfTheSameKindAlong) {
  const Balanced c;
  const auto folder = c.save().string();
  const auto state_from = [&](const std::vector<std::string>& overrides) {
    auto all = overrides;
    all.push_back("model.from=\"" + folder + "\"");
    const auto config = testing::tiny_config("/data", all);
    return initial_state(config, model::Transformer(config.model), at::kCPU);
  };
  const auto same = state_from(Balanced::with({"model.router.rate=0.5"}));
  expect_same(same.params, c.state.params);
  expect_same_router_states(same.router_states, c.state.router_states);
  EXPECT_THAT(
      message_of<ConfigError>([&] { state_from(Balanced::with({"model.router.score=\"softmax_pre\""})); }),
      HasSubstr("model.router.score: got \"softmax_pre\"; need \"sigmoid\", which the router's state in " + folder));
  const auto other = state_from({"model.balance={loss = []}", "model.router={kind = \"quantile\"}"});
  EXPECT_TRUE(testing::same_bits(other.router_states[0].at("beta"), at::zeros({4}, at::kFloat)));
}

}  // namespace
}  // namespace evenkeel::train
