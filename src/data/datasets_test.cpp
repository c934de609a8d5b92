#include "data/datasets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json.h"
#include "data/tokenizer.h"
#include "data/tokenizer_extend.h"
#include "support/files.h"

namespace evenkeel::data {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

class DatasetsTest : public ::testing::Test {
 protected:
  // A set of three tokens; with `sha256`, of evenkeel's description.
  std::string write(const std::string& name, const std::string& sha256 = "") const {
    IndexedDatasetWriter writer(folder_ / name, 16);
    writer.add_document({1, 2, 3});
    writer.commit();
    const std::string prefix = (folder_ / name).string();
    if (!sha256.empty())
      write_file_atomically(prefix + ".json", Json(Json::Object{{"format", "evenkeel.data.v1"},
                                                                {"tokens", 3},
                                                                {"bytes", 5},
                                                                {"tokenizer", "../" + sha256 + ".model"},
                                                                {"tokenizer_sha256", sha256}})
                                                  .dump());
    return prefix;
  }
  std::vector<TokenizerUse> sets(const std::vector<std::string>& prefixes) {
    std::vector<TokenizerUse> out;
    for (const auto& prefix : prefixes)
      out.push_back(tokenizer_use("--data " + fs::path(prefix).filename().string(), datasets_.open(prefix)));
    return out;
  }
  TemporaryFolder folder_;
  Datasets datasets_;
};

TEST_F(DatasetsTest, OpensEachOnce) {
  const auto a = write("a");
  const IndexedDataset& first = datasets_.open(a);
  write("b");
  for (const char* suffix : {".bin", ".idx"}) fs::remove(a + suffix);
  EXPECT_EQ(&datasets_.open(a), &first);
  EXPECT_EQ(&datasets_.at(a), &first);
  EXPECT_THROW(datasets_.open((folder_ / "c").string()), DataError);
}

TEST_F(DatasetsTest, OfOneTokenizerStandTogether) {
  const auto of = sets({write("a", "one"), write("b", "one"), write("c")});
  EXPECT_NO_THROW(require_one_tokenizer(of, false, ""));
  EXPECT_NO_THROW(require_one_tokenizer({}, false, ""));
}

TEST_F(DatasetsTest, OfTwoTokenizersAreRefusedOrNamed) {
  const auto mixed = sets({write("plain"), write("a", "one"), write("b", "other")});
  const std::string message =
      testing::message_of<DataError>([&] { require_one_tokenizer(mixed, false, "--let-them"); });
  for (const char* part : {"--data b", "other.model", "got another tokenizer than --data a", "one.model", "--let-them"})
    EXPECT_THAT(message, HasSubstr(part));
  EXPECT_NO_THROW(require_one_tokenizer(mixed, true, ""));
}

// Ids of the smaller one mean the same in the larger one. Where a file is gone nothing says so.
TEST_F(DatasetsTest, OfATokenizerAndOneThatExtendsItStandTogether) {
  const std::string text = "lokazem lokazem lokazem\n";
  std::string all;
  for (int i = 0; i < 50; ++i) all += text + "abcdefghijkl mnopqrst\n";
  train_tokenizer({.kind = "bpe", .vocab_size = 290}, {folder_.write("old.txt", all)}, folder_ / "old.model");
  const auto extend = [&](const std::string& name, const std::string& from) {
    extend_tokenizer({folder_ / "old.model", 292}, {folder_.write(name + ".txt", from)}, folder_ / (name + ".model"));
  };
  extend("one", "xyxyxy xyxyxy xyxyxy\n");
  extend("other", "zwzwzw zwzwzw zwzwzw\n");
  const auto use = [&](const std::string& name) {
    const auto file = (folder_ / (name + ".model")).string();
    return TokenizerUse{name, name, file, sha256_file(file), {"absent", file}};
  };
  EXPECT_EQ(tokenizer_file(use("one")), (folder_ / "one.model").string());
  EXPECT_NO_THROW(require_one_tokenizer({use("old"), use("one"), use("old")}, false, ""));
  EXPECT_NO_THROW(require_one_tokenizer({use("one"), use("old")}, false, ""));
  const auto apart = testing::message_of<DataError>([&] {
    require_one_tokenizer({use("old"), use("one"), use("other")}, false, "");
  });
  EXPECT_THAT(apart, HasSubstr("other (other)"));
  EXPECT_THAT(apart, HasSubstr("than one (one)"));
  auto gone = use("one");
  gone.files = {"absent"};
  EXPECT_THAT(testing::message_of<DataError>([&] {
                require_one_tokenizer({use("old"), gone}, false, "");
              }),
              HasSubstr("one that extends the other"));
}

}  // namespace
}  // namespace evenkeel::data
