#include "checkpoint/origin.h"

#include "checkpoint/families/test_folder.h"
#include "checkpoint/manifest.h"
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
  for (const char* name : {"tokenizer.json", "tokenizer.model", "merges.txt", "tokenizer_config.json"})
    std::ofstream(folder_ / name) << "old";
  std::ofstream(root_ / "grown.model") << "new";
  save_folder(root_ / "first",
              [&](const fs::path& temporary) { keep_origin(folder_, temporary, root_ / "grown.model"); });
  const fs::path kept = root_ / "first" / "origin";
  EXPECT_EQ(origin_names(kept), (std::vector<std::string>{"config.json", "tokenizer.model", "tokenizer_config.json"}));
  EXPECT_EQ(read_file(kept / "tokenizer.model"), "new");
  EXPECT_EQ(read_file(folder_ / "tokenizer.model"), "old");
}

}  // namespace
}  // namespace evenkeel::checkpoint
