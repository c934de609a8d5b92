#include "checkpoint/tokenizer_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file_io.h"
#include "data/tokenizer.h"
#include "support/files.h"

namespace evenkeel::checkpoint {
namespace {

using ::testing::ElementsAre;
using testing::TemporaryFolder;

class TokenizerPlaces : public ::testing::Test {
 protected:
  fs::path tokenizer(int64_t size) {
    std::string text;
    for (int i = 0; i < 60; ++i) text += "abcabd bcdabc dabcab\n";
    const fs::path out = folder_ / (std::to_string(size) + ".model");
    data::train_tokenizer({.kind = "bpe", .vocab_size = size}, {folder_.write("t.txt", text)}, out);
    return out;
  }
  // A source of a phase, of a set whose description names this file.
  Json drawn_from(const std::string& name, const fs::path& file) {
    const Json description = Json::Object{{"format", "evenkeel.data.v1"}, {"tokenizer", file.filename().string()}};
    folder_.write(name + ".json", description.dump());
    return Json::Object{{"path", (folder_ / name).string()}, {"tokenizer_sha256", sha256_file(file)}};
  }
  static ModelSource source_of(const Json::Array& sources) {
    ModelSource out;
    out.folder = "nowhere";
    out.kind = "checkpoint";
    out.state = Json::Object{{"phases", Json::Array{Json::Object{{"sources", sources}}}}};
    return out;
  }
  TemporaryFolder folder_;
};

TEST_F(TokenizerPlaces, AreThoseThatTheSetsName) {
  const auto small = tokenizer(268), large = tokenizer(270);
  const auto source = source_of({drawn_from("a", small), drawn_from("b", large), drawn_from("again", small)});
  EXPECT_THAT(tokenizer_places(source), ElementsAre(small.string(), large.string()));
  EXPECT_EQ(largest_tokenizer(source), large.string());
  folder_.write("b.json", "");  // damaged
  EXPECT_THAT(tokenizer_places(source), ElementsAre(small.string()));
  EXPECT_EQ(largest_tokenizer(source), small.string());
  fs::remove(small);
  EXPECT_EQ(largest_tokenizer(source), "");
}

TEST_F(TokenizerPlaces, OfAnUpcycledModelAreThoseThatItRecords) {
  const auto file = tokenizer(268), other = tokenizer(270);
  auto source = source_of({});
  source.state[kUpcycledKey] = Json::Object{{"tokenizers", Json::Array{sha256_file(file)}},
                                            {"tokenizer_files", Json::Array{file.string(), other.string()}}};
  EXPECT_THAT(tokenizer_places(source), ElementsAre(file.string(), other.string()));
  EXPECT_EQ(largest_tokenizer(source), file.string());  // the other was never its tokenizer
  source.state[kUpcycledKey].erase("tokenizer_files");  // as earlier versions have it
  EXPECT_TRUE(tokenizer_places(source).empty());
}

TEST_F(TokenizerPlaces, OfAHuggingFaceFolderAreItsOwn) {
  ModelSource source;
  source.folder = folder_.path();
  source.kind = "llama";
  EXPECT_TRUE(tokenizer_places(source).empty());
  fs::copy_file(tokenizer(268), folder_ / "tokenizer.model");
  EXPECT_THAT(tokenizer_places(source), ElementsAre((folder_ / "tokenizer.model").string()));
  EXPECT_EQ(largest_tokenizer(source), (folder_ / "tokenizer.model").string());
}

}  // namespace
}  // namespace evenkeel::checkpoint
