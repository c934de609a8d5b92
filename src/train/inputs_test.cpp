#include "train/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::tiny_config;

class InputsTest : public ::testing::Test {
 protected:
  void SetUp() override { testing::write_tiny_sets(folder_); }
  RunConfig config(const std::vector<std::string>& overrides = {}) const { return tiny_config(folder_.path(), overrides); }
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

TEST_F(InputsTest, RefusesWhatARunCannotUse) {
  InputData data;
  EXPECT_THAT(message_of<DataError>([&] { data.open(config({"phase.two.data=[{name = \"c\", path = \"c\"}]"})); }), HasSubstr("c.idx: got no such file"));
  EXPECT_THAT(message_of<DataError>([&] { data.open(config({"train.sequence_length=161"})); }), HasSubstr("with 161 tokens; need at least 162 (sequence_length + 1)"));
  EXPECT_NO_THROW(data.open(config({"train.sequence_length=160"})));  // 50 tokens are enough to evaluate
  // The vocabulary is looked at for each model, though the file is open already.
  data.open(config());
  EXPECT_THAT(message_of<DataError>([&] { data.open(config({"model.vocab_size=8"})); }), HasSubstr("need"));
  EXPECT_THROW(data.open(config({"phase.two.replay={fraction = 0.5, data = [{name = \"c\", path = \"c\"}]}"})), DataError);
}

TEST_F(InputsTest, StartsAndReplaysNameWhatIsThere) {
  EXPECT_NO_THROW(check_starts(config({"phase.two.replay={fraction = 0.5, from = \"one\"}"})));
  EXPECT_THAT(message_of<ConfigError>([&] { check_starts(config({"phase.one.replay={fraction = 0.5, from = \"two\"}"})); }), HasSubstr("got replay.from = 'two'; need the name of an earlier phase: there is none"));
  EXPECT_THAT(message_of<ConfigError>([&] { check_starts(config({"phase.two.start={from = \"nowhere\"}"})); }), HasSubstr("got start.from = 'nowhere'"));
}

}  // namespace
}  // namespace evenkeel::train
