#include "checkpoint/import.h"

#include <gmock/gmock.h>

#include "checkpoint/families/test_folder.h"
#include "checkpoint/manifest.h"
#include "checkpoint/router_states.h"
#include "support/files.h"

namespace evenkeel::checkpoint {
namespace {

using ::testing::HasSubstr;

class Import : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    make_llama();
    checkpoint_ = root_ / "checkpoint";
  }
  void import() {
    write();
    import_folder(folder_, checkpoint_);
  }
  fs::path checkpoint_;
};

TEST_F(Import, WritesACheckpointLikeAnyOther) {
  import();
  verify_folder(checkpoint_, /*deep=*/true);
  require_only_listed(checkpoint_);
  const auto source = open_model(checkpoint_);
  EXPECT_EQ(source.kind, "checkpoint");
  EXPECT_FALSE(source.has_history);
  EXPECT_EQ(source.sequence_length, 64);
  EXPECT_EQ(source.longest_sequence, 64);
  EXPECT_EQ(source.state.at("imported").at("family"), Json("llama"));
  EXPECT_EQ(source.state.at("step"), Json(0));
  EXPECT_TRUE(tokenizers_of(source).empty());
  const auto ours = load_params(source), theirs = read();
  ASSERT_EQ(ours.size(), theirs.size());
  for (const auto& [name, value] : theirs) EXPECT_TRUE(at::equal(ours.at(name), value)) << name;
}

TEST_F(Import, KeepsTypesAsTheyAreStored) {
  for (auto& [name, value] : tensors_) value = value.to(at::kBFloat16);
  tensor("model.layers.0.mlp.up_proj.weight") = at::randn({6, 8});
  import();
  const SafetensorsFile file(checkpoint_ / "model.safetensors");
  EXPECT_EQ(file.find("head.weight")->dtype, at::kBFloat16);
  EXPECT_EQ(file.find("layers.0.ffn.gate_up.weight")->dtype, at::kFloat);  // the widest of its parts
  EXPECT_EQ(file.metadata().at(kForeignTypesKey), R"({"model.layers.0.mlp.gate_proj.weight":"BF16"})");
  EXPECT_EQ(open_model(checkpoint_).config.d_ff, 6);
}

TEST_F(Import, KeepsTheFilesOfTheTokenizer) {
  std::ofstream(folder_ / "tokenizer.json") << "{}";
  std::ofstream(folder_ / "tokenizer.model") << "pieces";
  std::ofstream(folder_ / "chat_template.jinja") << "x";
  std::ofstream(folder_ / "README.md") << "no";
  import();
  EXPECT_EQ(read_file(checkpoint_ / "origin" / "tokenizer.model"), "pieces");
  EXPECT_TRUE(fs::exists(checkpoint_ / "origin" / "chat_template.jinja"));
  EXPECT_FALSE(fs::exists(checkpoint_ / "origin" / "README.md"));
  verify_folder(checkpoint_, /*deep=*/true);
  EXPECT_EQ(tokenizers_of(open_model(checkpoint_)).size(), 1U);
  std::ofstream(checkpoint_ / "origin" / "tokenizer.model") << "other!";
  EXPECT_THAT(testing::message_of<CheckpointError>([&] { verify_folder(checkpoint_, true); }),
              HasSubstr("origin/tokenizer.model: got SHA-256"));
}

TEST_F(Import, ReplacesItsOwnCheckpointAndNothingElse) {
  import();
  import();
  verify_folder(checkpoint_, /*deep=*/true);
  std::ofstream(checkpoint_ / "origin" / "mine.txt") << "x";
  EXPECT_THAT(testing::message_of<ConfigError>([&] { import(); }), HasSubstr("that evenkeel did not write"));
  EXPECT_THAT(testing::message_of<ConfigError>([&] { import_folder(folder_, folder_); }), HasSubstr("model: got"));
}

TEST_F(Import, WritesNothingWhereItRefuses) {
  write();
  remove("model.norm.weight");
  EXPECT_THAT(testing::message_of<CheckpointError>([&] { import(); }), HasSubstr("got no tensor 'model.norm.weight'"));
  EXPECT_FALSE(fs::exists(checkpoint_));
  EXPECT_THAT(testing::message_of<CheckpointError>([&] { import_folder(root_ / "absent", checkpoint_); }),
              HasSubstr("got no config.json"));
}

}  // namespace
}  // namespace evenkeel::checkpoint
