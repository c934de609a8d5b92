#include "train/tokenizer_uses.h"

#include <gmock/gmock.h>

#include "checkpoint/model_source.h"
#include "core/json.h"
#include "data/tokenizer.h"
#include "support/trained_runs.h"

namespace evenkeel::train {
namespace {

class TokenizerUsesTest : public testing::RunTest {
 protected:
  void SetUp() override {
    RunTest::SetUp();
    std::string text;
    for (int i = 0; i < 60; ++i) text += "abcabd bcdabc dabcab\n";
    for (const int64_t size : {268, 270})
      data::train_tokenizer({.kind = "bpe", .vocab_size = size}, {folder_.write("t.txt", text)}, model(size));
    describe("a", 268, 161);
    describe("b", 270, 161);
    describe("a-heldout", 268, 50);
  }
  std::filesystem::path model(int64_t size) const { return folder_ / (std::to_string(size) + ".model"); }
  // As `prepare` would, of a set that was made with the tokenizer of this size.
  void describe(const std::string& set, int64_t size, int64_t n_tokens) const {
    const Json json = Json::Object{{"format", "evenkeel.data.v1"},
                                   {"tokens", n_tokens},
                                   {"bytes", 5},
                                   {"tokenizer", model(size).filename().string()},
                                   {"tokenizer_sha256", sha256_file(model(size))}};
    write_file_atomically((folder_ / set).string() + ".json", json.dump());
  }
};

TEST_F(TokenizerUsesTest, OfSetsAreThoseOfTheirDescriptions) {
  const auto uses = tokenizer_uses_of_sets(config());
  ASSERT_EQ(uses.size(), 4U);  // a and b, and the evaluation of both phases
  EXPECT_EQ(uses[0].name, "phase.one.data.a");
  EXPECT_EQ(uses[0].sha256, sha256_file(model(268)));
  EXPECT_EQ(data::tokenizer_file(uses[0]), model(268).string());
  EXPECT_EQ(largest_tokenizer(config()), model(270).string());
  std::filesystem::remove(model(270));
  EXPECT_EQ(largest_tokenizer(config()), model(268).string());
  for (const char* set : {"a", "b", "a-heldout"}) std::filesystem::remove((folder_ / set).string() + ".json");
  EXPECT_EQ(largest_tokenizer(config()), "");
}

TEST_F(TokenizerUsesTest, OfAModelAreFoundWhereItsSetsSay) {
  describe("b", 268, 161);
  train("run");
  const auto source = checkpoint::open_model(folder_ / "run");
  const auto uses = tokenizer_uses("the model", source);
  ASSERT_EQ(uses.size(), 1U);
  EXPECT_EQ(data::tokenizer_file(uses[0]), model(268).string());
  std::filesystem::remove(model(268));
  EXPECT_EQ(data::tokenizer_file(tokenizer_uses("the model", source)[0]), "");
}

// Also where the model that the run begins with has no files of an origin beside which it could stand.
TEST_F(TokenizerUsesTest, OfALargerVocabularyIsKeptInCheckpoints) {
  describe("b", 268, 161);
  train("first");
  EXPECT_FALSE(std::filesystem::exists(checkpoint("first", 10) / "origin"));
  describe("b", 270, 161);
  train("second", {"model.from=\"" + (folder_ / "first").string() + "\"", "model.vocab_size=20",
                   "model.new_embeddings=mean", "train.allow_mixed_tokenizers=true"});
  for (const int64_t step : {6, 10})
    EXPECT_EQ(read_file(checkpoint("second", step) / "origin" / "tokenizer.model"), read_file(model(270))) << step;
}

}  // namespace
}  // namespace evenkeel::train
