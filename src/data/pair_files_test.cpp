#include "data/pair_files.h"

#include "core/errors.h"
#include "core/json_lines.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

TEST(PairFiles, NeedTheStartOfAFileName) {
  const TemporaryFolder folder;
  for (const std::string name : {"", ".", "..", "en/"})
    EXPECT_THAT(message_of<ConfigError>([&] { require_pair_name(folder / name); }),
                HasSubstr("need the start of a file name"))
        << name;
  EXPECT_NO_THROW(require_pair_name(folder / "en"));
}

TEST(PairFiles, AreDescribedWithTheirContents) {
  const TemporaryFolder folder;
  IndexedDatasetWriter writer(folder / "en", 100);
  writer.add_document({7, 9});
  const Json put =
      put_in_place(folder / "en", {writer}, Json::Object{{"format", "evenkeel.data.v1"}, {"tokens", 2}, {"bytes", 5}});
  EXPECT_THAT(folder.names(), testing::ElementsAre("en.bin", "en.idx", "en.json"));
  EXPECT_EQ(put, read_json(folder / "en.json"));
  EXPECT_EQ(put.at("contents").at("largest_id").as_int(), 9);
  EXPECT_EQ(IndexedDataset::open(folder / "en").text_bytes(), 5);
}

TEST(PairFiles, SayWhichTokensAreScoredAsLongAsTheyDo) {
  const TemporaryFolder folder;
  const Json description = Json::Object{{"format", "evenkeel.data.v1"}, {"tokens", 2}, {"bytes", 5}};
  const auto put = [&](bool has_scored) {
    IndexedDatasetWriter writer(folder / "en", 100);
    writer.add_document({7, 9});
    if (!has_scored) return put_in_place(folder / "en", {writer}, description);
    ScoredPartsWriter scored(folder / "en");
    scored.add({0, 1});
    return put_in_place(folder / "en", {writer, &scored}, description);
  };
  EXPECT_EQ(put(true).at("scored").at("sha256").as_string(), sha256_hex(std::string("\0\1", 2)));
  EXPECT_NO_THROW(IndexedDataset::open(folder / "en").checked_scored());
  put(false);
  EXPECT_THAT(folder.names(), testing::ElementsAre("en.bin", "en.idx", "en.json"));
  EXPECT_EQ(IndexedDataset::open(folder / "en").scored(), nullptr);
}

TEST(PairFiles, ThatAreNotAllThereAreCalledUnfinished) {
  const TemporaryFolder folder;
  IndexedDatasetWriter writer(folder / "en", 100);
  writer.add_document({7});
  fs::create_directories(folder / "en.bin" / "in the way");
  EXPECT_THROW(put_in_place(folder / "en", {writer}, Json::object()), MachineError);
  EXPECT_FALSE(fs::exists(folder / "en.idx"));
  EXPECT_TRUE(read_json(folder / "en.json").at("unfinished").as_bool());
}

}  // namespace
}  // namespace evenkeel::data
