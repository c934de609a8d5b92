#include "data/description.h"

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

TEST(Description, IsReadWhereEvenkeelWroteIt) {
  const TemporaryFolder folder;
  const fs::path prefix = folder / "d";
  EXPECT_TRUE(read_description(prefix).is_null());
  EXPECT_EQ(described_text_bytes(prefix, 5), 0);
  folder.write("d.json", R"({"format": "evenkeel.data.v1", "tokens": 5, "bytes": 21})");
  EXPECT_EQ(read_description(prefix).at("tokens").as_int(), 5);
  EXPECT_EQ(described_text_bytes(prefix, 5), 21);
}

TEST(Description, PassesOverTheFileOfAnotherProgram) {
  const TemporaryFolder folder;
  for (const auto* content : {"{\"text\": \"one\"}\n{\"text\": \"two\"}\n", "no JSON", "[1]", R"({"format": "other"})",
                              R"({"text": "evenkeel.data.v1"})"}) {
    folder.write("d.json", content);
    EXPECT_EQ(described_text_bytes(folder / "d", 5), 0) << content;
  }
}

TEST(Description, MaySayThatTheBytesOfTheTextAreUnknown) {
  const TemporaryFolder folder;
  folder.write("d.json", R"({"format": "evenkeel.data.v1", "tokens": 5, "bytes": null})");
  EXPECT_EQ(described_text_bytes(folder / "d", 5), 0);
}

TEST(Description, NamesATokenizerFromItsFolder) {
  const TemporaryFolder folder;
  EXPECT_EQ(described_tokenizer(folder / "d"), "");
  folder.write("d.json", R"({"format": "evenkeel.data.v1", "tokenizer": "../models/tok.model"})");
  EXPECT_EQ(described_tokenizer(folder / "d"),
            (fs::absolute(folder / "d").parent_path().parent_path() / "models/tok.model").string());
  for (const char* named : {"null", "\"\"", "3"}) {
    folder.write("d.json", R"({"format": "evenkeel.data.v1", "tokenizer": )" + std::string(named) + "}");
    EXPECT_EQ(described_tokenizer(folder / "d"), "") << named;
  }
}

TEST(Description, NamesTheFileThatIsDamaged) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& content) {
    folder.write("d.json", content);
    const std::string message = message_of<DataError>([&] { described_text_bytes(folder / "d", 5); });
    EXPECT_THAT(message, HasSubstr((folder / "d.json").string()));
    return message;
  };
  EXPECT_THAT(
      refusal(""),
      HasSubstr("d.json: got an empty file; need the description that evenkeel prepare wrote, or no such file"));
  EXPECT_THAT(refusal(R"({"format": "evenkeel.data.v1"})"), HasSubstr("got no 'tokens'"));
  EXPECT_THAT(refusal(R"({"format": "evenkeel.data.v1", "tokens": 5})"), HasSubstr("got no 'bytes'"));
  EXPECT_THAT(refusal(R"({"format": "evenkeel.data.v1", "tokens": null, "bytes": 1})"), HasSubstr("tokens: got null"));
  EXPECT_THAT(refusal(R"({"format": "evenkeel.data.v1", "tokens": 5, "bytes": -1})"), HasSubstr("bytes: got -1"));
  EXPECT_THAT(refusal(R"({"format": "evenkeel.data.v1", "tokens": 6, "bytes": 1})"), HasSubstr("got 6 tokens; need 5"));
  EXPECT_THAT(refusal(R"({"format": "evenkeel.data.v1", "tokens": 6, "bytes": null})"),
              HasSubstr("got 6 tokens; need"));
  EXPECT_THAT(refusal(R"({"format": "evenkeel.data.v1", )"), HasSubstr("not JSON at byte"));
  EXPECT_THAT(refusal(std::string("{\"format\": \"evenkeel.data.v1\", \"tokens\": 5, \"bytes\": 1}\0x", 57)),
              HasSubstr("got a zero byte"));
}

TEST(DescribedPath, GoesFromTheFolderOfThePair) {
  EXPECT_EQ(described_path("/data/en/a", "/data/tok.model"), "../tok.model");
  EXPECT_EQ(described_path("en", fs::current_path() / "tok" / "t.model"), "tok/t.model");
}

TEST(RequirePrefix, SaysWhatToGiveInPlaceOfAFile) {
  const TemporaryFolder folder;
  folder.write("en.idx", "");
  const auto refusal = [&](const std::string& name) {
    return message_of<DataError>([&] { require_prefix(folder / name); });
  };
  for (const std::string name : {"en.bin", "en.idx", "en.json"})
    EXPECT_THAT(refusal(name),
                HasSubstr(name + ": got a file of the pair; need its PREFIX: " + (folder / "en").string()));
  folder.write("en.txt", "text");
  EXPECT_THAT(refusal("en.txt"),
              HasSubstr("en.txt: got a file; need the PREFIX of a .bin and .idx ('evenkeel prepare'"));
  folder.write("en.npy", "tokens");
  EXPECT_THAT(refusal("en.npy"),
              HasSubstr("en.npy: got a token file; need the PREFIX of a .bin and .idx ('evenkeel convert'"));
  EXPECT_THAT(refusal(""), HasSubstr("got a folder; need the PREFIX"));
  EXPECT_NO_THROW(require_prefix(folder / "en"));
  EXPECT_NO_THROW(require_prefix(folder / "none"));  // that its .idx is missing shows when it is opened
}

}  // namespace
}  // namespace evenkeel::data
