#include "train/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/manifest.h"
#include "core/file_io.h"
#include "support/made_sets.h"
#include "support/tiny_run.h"
#include "train/state.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::tiny_config;

class InputsTest : public ::testing::Test {
 protected:
  void SetUp() override { testing::write_tiny_sets(folder_); }
  RunConfig config(const std::vector<std::string>& overrides = {}) const {
    return tiny_config(folder_.path(), overrides);
  }
  std::vector<PhaseStart> starts(const std::vector<std::string>& overrides) const {
    InputData data;
    return check_starts(config(overrides), data).of_phases;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(InputsTest, OpensTheSourcesOfEveryPhase) {
  InputData data;
  data.open(config());
  EXPECT_EQ(data.at((folder_ / "a").string()).n_tokens(), 161);
  EXPECT_EQ(data.at((folder_ / "a-heldout").string()).n_tokens(), 50);
  // Another run with the same sources, which are no longer there: each was opened once.
  for (const char* name : {"a.bin", "b.bin", "a-heldout.bin"}) std::filesystem::remove(folder_ / name);
  EXPECT_NO_THROW(data.open(config({"train.seed=2"})));
  EXPECT_THROW(InputData().open(config()), DataError);
}

// Both phases draw from the same conversations.
TEST_F(InputsTest, SaysOnceWhatOfASetIsPassedOver) {
  std::vector<std::vector<int32_t>> documents(20, {1, 2, 3});
  std::vector<std::vector<uint8_t>> scored(20, {0, 1, 1});
  documents.push_back({4, 5});
  scored.push_back({1, 0});
  const auto prefix = testing::write_conversations(folder_, "talk", documents, scored);
  std::vector<std::string> overrides;
  for (const std::string phase : {"one", "two"})
    overrides.push_back("phase." + phase + ".data=[{name = \"talk\", path = \"" + prefix +
                        "\", objective = {kind = \"conversation\"}}]");
  InputData data;
  const auto warnings = data.open(config(overrides));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], HasSubstr("talk: 1 of 21 conversations have no scored token within 8 tokens"));
  InputData of_plan;
  EXPECT_EQ(check_what_is_there(config(overrides), of_plan), warnings);
}

TEST_F(InputsTest, APlanRefusesTheSameOfTheSetsThatAreThere) {
  const auto later = "phase.two.data=[{name = \"c\", path = \"" + (folder_ / "later").string() + "\"}]";
  InputData none;
  EXPECT_NO_THROW(check_what_is_there(config({later}), none));
  for (const std::string change : {"model.vocab_size=9", "train.sequence_length=161"}) {
    InputData data;
    const auto message = message_of<DataError>([&] { check_what_is_there(config({later, change}), data); });
    EXPECT_EQ(message, message_of<DataError>([&] { InputData().open(config({change})); }));
    EXPECT_THAT(message, HasSubstr(change.starts_with("model") ? "need 0..8 (vocab_size 9)"
                                                               : "with 161 tokens; need at least 162"));
  }
}

// Of one content under two names a run would lose samples; contents that are not there yet are told apart by their
// path.
TEST_F(InputsTest, APlanRefusesOneContentInTwoOrders) {
  for (const char* suffix : {".bin", ".idx"})
    std::filesystem::copy_file(folder_ / (std::string("a") + suffix), folder_ / (std::string("copy") + suffix));
  const auto drawn = [&](const std::string& name) {
    return config(
        {"phase.two.shuffle=false", "phase.two.data=[{name = \"c\", path = \"" + (folder_ / name).string() + "\"}]"});
  };
  InputData data, later;
  const auto message = message_of<ConfigError>([&] { check_what_is_there(drawn("copy"), data); });
  EXPECT_EQ(message, message_of<ConfigError>([&] { InputData().open(drawn("copy")); }));
  EXPECT_THAT(message, HasSubstr("got phase.two.shuffle = false for 'c', which phase 'one' draws with shuffle = true"));
  EXPECT_NO_THROW(check_what_is_there(drawn("later"), later));
}

TEST_F(InputsTest, APlanRefusesTheStartsThatARunRefuses) {
  for (const std::string change : {"phase.two.start={from = \"nowhere\"}", "phase.two.start.step=99"}) {
    InputData data;
    const auto message = message_of<ConfigError>([&] { check_what_is_there(config({change}), data); });
    EXPECT_EQ(message, message_of<ConfigError>([&] { starts({change}); }));
    EXPECT_THAT(message, ::testing::StartsWith("--set phase.two.start"));
  }
}

TEST_F(InputsTest, RefusesWhatARunCannotUse) {
  InputData data;
  EXPECT_THAT(message_of<DataError>([&] { data.open(config({"phase.two.data=[{name = \"c\", path = \"c\"}]"})); }),
              HasSubstr("c.idx: got no such file"));
  EXPECT_THAT(message_of<DataError>([&] { data.open(config({"train.sequence_length=161"})); }),
              HasSubstr("with 161 tokens; need at least 162 (sequence_length + 1)"));
  EXPECT_NO_THROW(data.open(config({"train.sequence_length=160"})));  // 50 tokens are enough to evaluate
  // The vocabulary is looked at for each model, though the file is open already.
  data.open(config());
  EXPECT_THAT(message_of<DataError>([&] { data.open(config({"model.vocab_size=8"})); }), HasSubstr("need"));
  EXPECT_THROW(data.open(config({"phase.two.replay={fraction = 0.5, data = [{name = \"c\", path = \"c\"}]}"})),
               DataError);
}

TEST_F(InputsTest, StartsAndReplaysNameWhatIsThere) {
  EXPECT_EQ(starts({"phase.two.replay={fraction = 0.5, from = \"one\"}"}).size(), 2u);
  EXPECT_THAT(message_of<ConfigError>([&] { starts({"phase.one.replay={fraction = 0.5, from = \"two\"}"}); }),
              HasSubstr("got replay.from = 'two'; need the name of an earlier phase: there is none"));
  EXPECT_THAT(message_of<ConfigError>([&] { starts({"phase.two.start={from = \"nowhere\"}"}); }),
              HasSubstr("got start.from = 'nowhere'"));
}

// A start from a run that began the phases "theirs" and "one".
class ExternalStart : public InputsTest {
 protected:
  void SetUp() override {
    InputsTest::SetUp();
    const auto theirs = config();
    auto state = initial_state(theirs, model::Transformer(theirs.model), at::kCPU);
    state.step = 3;
    for (const char* name : {"theirs", "one"}) {
      PhaseRecord record;
      record.name = name;
      record.drawn.seed = 1;
      record.sources = {{.spec = {"b", (folder_ / "b").string(), 1, ""}}};
      state.records.push_back(record);
    }
    make_folders(folder_ / "run" / "checkpoints");
    save_checkpoint(folder_ / "run", state, theirs);
  }
  std::vector<PhaseStart> starts_with(std::vector<std::string> overrides, const std::string& phase = "two") const {
    overrides.push_back("phase." + phase + ".start={from = \"" + (folder_ / "run").string() + "\"}");
    return starts(overrides);
  }
};

TEST_F(ExternalStart, IsLookedUpOnce) {
  const auto found = starts_with({});
  EXPECT_EQ(found[1].step, 3);
  EXPECT_EQ(found[1].folder, folder_ / "run" / "checkpoints" / "step-00000003");
}

TEST_F(ExternalStart, MustBeOfTheSameArchitecture) {
  const std::pair<const char*, const char*> changes[] = {
      {"n_heads=4", "n_heads = 4; need 2"},
      {"activation=geglu", "activation = \"geglu\"; need \"swiglu\""},
      {"top_k=1", "top_k = 1; need 2"},
      {"rope_theta=77", "rope_theta = 77; need "},
      {"d_model=16", "d_model = 16; need 8"}};
  for (const auto& [change, says] : changes)
    EXPECT_THAT(message_of<ConfigError>([&] { starts_with({std::string("model.") + change}); }),
                HasSubstr(std::string("got model.") + says))
        << change;
  EXPECT_NO_THROW(
      starts_with({"model.router={score = \"sigmoid\"}", "model.init=normal", "model.d_ff=99"}));  // no layer is dense
  EXPECT_THAT(message_of<CheckpointError>([&] {
                starts_with({"model.router={kind = \"loss_free\"}", "model.balance={loss = []}"});
              }),
              HasSubstr("router_state.0"));
}

TEST_F(ExternalStart, MustHaveAStateThatWasMadeForTheSameOption) {
  const auto theirs = config({"model.router={kind = \"loss_free\", score = \"sigmoid\"}", "model.balance={loss = []}"});
  auto state = initial_state(theirs, model::Transformer(theirs.model), at::kCPU);
  state.step = 4;
  save_checkpoint(folder_ / "run", state, theirs);
  const std::string kind = "model.router={kind = \"loss_free\", score = ";
  EXPECT_NO_THROW(starts_with({kind + "\"sigmoid\"}", "model.balance={loss = []}"}));
  EXPECT_THAT(message_of<ConfigError>([&] {
                starts_with({kind + "\"softmax_pre\"}", "model.balance={loss = []}"});
              }),
              HasSubstr("got model.router.score = \"softmax_pre\"; need \"sigmoid\""));
}

// Before anything is trained: the phase may come after hours of others.
TEST_F(ExternalStart, MustHaveTheMomentsOfTheSameOptimizerUnlessItResetsThem) {
  const std::string other = "optimizer={kind = \"adafactor\"}";
  EXPECT_THAT(message_of<ConfigError>([&] { starts_with({other}); }),
              HasSubstr("got optimizer.kind = 'adafactor', and the moments of 'adamw' in"));
  const std::string from = "phase.two.start={from = \"" + (folder_ / "run").string() + "\", optimizer = \"reset\"}";
  EXPECT_NO_THROW(starts({other, from}));
}

TEST_F(ExternalStart, MustHaveDrawnSamplesOfTheSameLength) {
  EXPECT_THAT(message_of<ConfigError>([&] { starts_with({"train.sequence_length=4"}); }),
              HasSubstr("got train.sequence_length = 4 and a start from"));
}

// Returned, not logged: a plan of a study says it once for all arms of a group.
TEST_F(ExternalStart, OfAnotherSeedIsAWarning) {
  const auto warnings = [&](const std::string& seed) {
    InputData data;
    return check_what_is_there(config({seed, "phase.two.start={from = \"" + (folder_ / "run").string() + "\"}"}), data);
  };
  EXPECT_THAT(warnings("train.seed=2"),
              ::testing::ElementsAre(AllOf(HasSubstr("got train.seed = 2 and a start from "),
                                           HasSubstr(", of seed 1: samples that it drew may come again"))));
  EXPECT_THAT(warnings("train.seed=1"), ::testing::IsEmpty());
}

TEST_F(ExternalStart, BringsPhasesThatAReplayMayName) {
  EXPECT_NO_THROW(starts_with({"phase.two.replay={fraction = 0.5, from = \"theirs\"}"}));
  EXPECT_NO_THROW(starts_with({"phase.two.replay={fraction = 0.5, from = \"theirs\"}"}, "one"));  // also a later phase
  EXPECT_THAT(message_of<ConfigError>([&] { starts_with({"phase.two.replay={fraction = 0.5, from = \"their\"}"}); }),
              HasSubstr("got replay.from = 'their'; need the name of an earlier phase: one, theirs"));
  std::filesystem::remove(folder_ / "b.bin");
  EXPECT_NO_THROW(starts_with({}));
  EXPECT_THROW(starts_with({"phase.two.replay={fraction = 0.5, from = \"theirs\"}"}), DataError);
  EXPECT_NO_THROW(
      starts_with({"phase.two.replay={fraction = 0.5, from = \"one\"}"}));  // the recipe's own, which comes before
}

}  // namespace
}  // namespace evenkeel::train
