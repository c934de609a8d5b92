#include "checkpoint/origin.h"

#include <gmock/gmock.h>

#include "checkpoint/families/test_folder.h"
#include "checkpoint/manifest.h"
#include "data/tokenizer.h"
#include "support/files.h"

namespace evenkeel::checkpoint {
namespace {

class Origin : public HfFolderTest {};

TEST_F(Origin, IsWhatALoaderNeedsBesideTheWeights) {
  make_llama();
  write();
  for (const char* name : {"tokenizer.json", "merges.txt", "vocab.json", "chat_template.json", "notes.txt", "code.py"})
    std::ofstream(folder_ / name) << name;
  EXPECT_EQ(origin_names(folder_), (std::vector<std::string>{"chat_template.json", "config.json", "merges.txt",
                                                             "tokenizer.json", "vocab.json"}));
  set("auto_map", Json::Object{{"AutoModel", "code.X"}});  // its class lies in the folder
  write();
  EXPECT_EQ(origin_names(folder_).size(), 6U);
  EXPECT_EQ(origin_of(folder_), folder_);
}

TEST_F(Origin, IsLinkedFromCheckpointToCheckpoint) {
  make_llama();
  write();
  std::ofstream(folder_ / "tokenizer.json") << "{}";
  import_folder(folder_, root_ / "first");
  const fs::path from = origin_of(root_ / "first");
  EXPECT_EQ(from, root_ / "first" / "origin");
  EXPECT_EQ(fs::hard_link_count(from / "tokenizer.json"), 1U);  // the user's own file is not what is linked
  save_folder(root_ / "second", [&](const fs::path& temporary) { keep_origin(from, temporary); });
  EXPECT_EQ(fs::hard_link_count(root_ / "second" / "origin" / "tokenizer.json"), 2U);
  verify_folder(root_ / "second", /*deep=*/true);
  save_folder(root_ / "third", [&](const fs::path& temporary) { std::ofstream(temporary / "state.json") << "{}"; });
  EXPECT_TRUE(origin_of(root_ / "third").empty());
}

TEST_F(Origin, MayGetAnotherTokenizer) {
  make_llama();
  write();
  for (const char* name :
       {"tokenizer.json", "tokenizer.model", "merges.txt", "tokenizer_config.json", "added_tokens.json"})
    std::ofstream(folder_ / name) << "old";
  std::ofstream(root_ / "grown.model") << "new";
  save_folder(root_ / "first",
              [&](const fs::path& temporary) { keep_origin(folder_, temporary, root_ / "grown.model"); });
  const fs::path kept = root_ / "first" / "origin";
  EXPECT_EQ(origin_names(kept), (std::vector<std::string>{"config.json", "tokenizer.model", "tokenizer_config.json"}));
  EXPECT_EQ(read_file(kept / "tokenizer.model"), "new");
  EXPECT_EQ(read_file(folder_ / "tokenizer.model"), "old");
}

TEST_F(Origin, OfNothingIsTheTokenizerAlone) {
  std::ofstream(root_ / "grown.model") << "new";
  save_folder(root_ / "first", [&](const fs::path& temporary) { keep_origin({}, temporary, root_ / "grown.model"); });
  EXPECT_EQ(origin_names(root_ / "first" / "origin"), std::vector<std::string>{"tokenizer.model"});
  save_folder(root_ / "second", [&](const fs::path& temporary) {
    std::ofstream(temporary / "state.json") << "{}";
    keep_origin({}, temporary);
  });
  EXPECT_TRUE(origin_of(root_ / "second").empty());
}

// A model that was trained with a token behind the pieces of its tokenizer has a row for it.
TEST_F(Origin, NewPiecesTakeNoIdOfAnAddedToken) {
  const fs::path text = root_ / "text.txt", larger = root_ / "larger.model";
  for (int i = 0; i < 60; ++i) std::ofstream(text, std::ios::app) << "abcabd bcdabc dabcab\n";
  data::train_tokenizer({.kind = "bpe", .vocab_size = 268}, {text}, folder_ / "tokenizer.model");
  data::train_tokenizer({.kind = "bpe", .vocab_size = 270}, {text}, larger);
  const auto message = [&](const char* name, const std::string& content) {
    std::ofstream(folder_ / name) << content;
    const std::string out = testing::message_of<DataError>([&] { require_free_ids(folder_, larger); });
    fs::remove(folder_ / name);
    return out;
  };
  EXPECT_NO_THROW(require_free_ids(folder_, larger));
  const std::string taken = "the added token '<pad>' with the id 269, which is the new piece '";
  EXPECT_THAT(
      message("added_tokens.json", R"({"<pad>": 269})"),
      ::testing::AllOf(::testing::HasSubstr("added_tokens.json: got " + taken), ::testing::HasSubstr("larger.model")));
  EXPECT_THAT(message("tokenizer_config.json", R"({"added_tokens_decoder": {"269": {"content": "<pad>"}}})"),
              ::testing::HasSubstr("tokenizer_config.json: got " + taken));
  // What stands among the old pieces, behind the new ones, or is the piece itself.
  const std::string piece = data::open_tokenizer(larger)->piece(269);
  std::ofstream(folder_ / "added_tokens.json") << Json(Json::Object{{"<a>", 3}, {"<b>", 270}, {piece, 269}}).dump();
  std::ofstream(folder_ / "tokenizer_config.json") << R"({"added_tokens_decoder": {"2": {"content": "x"}}})";
  EXPECT_NO_THROW(require_free_ids(folder_, larger));
}

}  // namespace
}  // namespace evenkeel::checkpoint
