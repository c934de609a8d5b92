#include "data/readers.h"

#include "core/errors.h"
#include "core/json.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ReadDocuments, CutsAtBlankLines) {
  const TemporaryFolder folder;
  const auto cut = [&](std::string_view text) { return documents_of(folder.write("t.txt", text)); };
  EXPECT_THAT(cut("a\nb\n\nc\n"), ElementsAre("a\nb", "c"));
  EXPECT_THAT(cut("\n\n\na\n\n\n\nb"), ElementsAre("a", "b"));
  EXPECT_THAT(cut("a\r\nb\r\n\r\nc\r\n"), ElementsAre("a\r\nb", "c"));
  EXPECT_THAT(cut(" a \n \nb"), ElementsAre(" a \n \nb"));  // a line with a space is not empty
  EXPECT_THAT(cut(""), IsEmpty());
  EXPECT_THAT(cut("\n\r\n\n"), IsEmpty());
}

TEST(ReadDocuments, CutsAtLinesStringsOrNotAtAll) {
  const TemporaryFolder folder;
  const auto cut = [&](std::string_view text, const std::string& separator) {
    return documents_of(folder.write("t.txt", text), {.document_separator = separator});
  };
  EXPECT_THAT(cut("a\r\n\nb c\nd", "newline"), ElementsAre("a", "b c", "d"));
  EXPECT_THAT(cut("a\n\nb\r\n", "none"), ElementsAre("a\n\nb\r\n"));
  EXPECT_THAT(cut("", "none"), IsEmpty());
  EXPECT_THAT(cut("<|s|>a\n<|s|><|s|>b<|s", "<|s|>"), ElementsAre("a\n", "b<|s"));
  EXPECT_THAT(cut("aXXXb", "XX"), ElementsAre("a", "Xb"));
  EXPECT_THAT(message_of<ConfigError>([&] { cut("a", ""); }), HasSubstr("--document-separator: got ''"));
}

TEST(ReadDocuments, FindsSeparatorsAcrossPieces) {
  const TemporaryFolder folder;
  const std::string separator = "<|separator|>";
  for (int64_t shift = -14; shift <= 1; ++shift) {  // reads come in 256 KiB
    const std::string first(static_cast<size_t>((1 << 18) + shift), 'x');
    EXPECT_THAT(documents_of(folder.write("t.txt", first + separator + "tail"), {.document_separator = separator}),
                ElementsAre(first, "tail"))
        << shift;
    EXPECT_THAT(documents_of(folder.write("t.txt", first + "\r\n\r\ntail")), ElementsAre(first, "tail")) << shift;
  }
}

TEST(ReadDocuments, ReadsTheFieldOfJsonLines) {
  const TemporaryFolder folder;
  const auto path = folder.write("t.jsonl", "{\"text\": \"a\\n\\u00e9\", \"n\": 1}\r\n\n  \n{\"n\": 2, \"text\": \"\"}\n{\"text\":\"b\"}");
  EXPECT_THAT(documents_of(path), ElementsAre("a\n\xc3\xa9", "b"));
  EXPECT_THAT(documents_of(folder.write("u.jsonl", "{\"body\": \"c\"}"), {.text_field = "body"}), ElementsAre("c"));
}

TEST(ReadDocuments, NamesTheLineOfWhatIsNoDocument) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& line) {
    const auto path = folder.write("t.jsonl", "{\"text\": \"fine\"}\n\n" + line);
    const std::string message = message_of<DataError>([&] { documents_of(path); });
    EXPECT_THAT(message, HasSubstr(path.string() + ":3: got "));
    return message;
  };
  EXPECT_THAT(refusal("[1, 2]"), HasSubstr("got array \"[1, 2]\"; need a JSON object"));
  EXPECT_THAT(refusal("{\"txt\": \"a\"}"), HasSubstr("need the text field 'text'"));
  EXPECT_THAT(refusal("{\"text\": 17}"), HasSubstr("got integer \"17\" in field 'text'; need a string"));
  EXPECT_THAT(refusal("{\"text\": null}"), HasSubstr("got null"));
  EXPECT_THAT(refusal("{\"other\": \"" + std::string(500, 'x') + "\"}"), HasSubstr("xxx\"...; need"));
  const auto broken = folder.write("b.jsonl", "{\"text\": \"fine\"}\n{\"text\": ");
  EXPECT_THAT(message_of<DataError>([&] { documents_of(broken); }), HasSubstr(broken.string() + ":2"));
}

TEST(ReadDocuments, NamesTheByteThatIsNoUtf8) {
  const TemporaryFolder folder;
  for (const std::string separator : {"blank-line", "newline", "none", "line"}) {
    const auto path = folder.write("t.txt", "first line\n\nsecond \xff line");
    EXPECT_THAT(message_of<DataError>([&] { documents_of(path, {.document_separator = separator}); }),
                HasSubstr(path.string() + ":3: got byte 0xff at byte 19, which is no UTF-8"))
        << separator;
  }
  const auto cut = folder.write("cut.txt", "ab\xc3");
  EXPECT_THAT(message_of<DataError>([&] { documents_of(cut); }), HasSubstr(":1: got byte 0xc3 at byte 2"));
  const auto json = folder.write("t.jsonl", "{\"text\": \"a\"}\n{\"text\": \"\xe2(\"}");
  EXPECT_THAT(message_of<DataError>([&] { documents_of(json); }), HasSubstr(json.string() + ":2: got byte 0xe2 at byte 24"));
}

TEST(ReadDocuments, ListsTheSuffixesThatItKnows) {
  const TemporaryFolder folder;
  for (const std::string name : {"t.csv", "t", "t.gz", "t.json", "t.txt.bz2"})
    EXPECT_THAT(message_of<DataError>([&] { documents_of(folder.write(name, "a")); }),
                HasSubstr("need .txt or .jsonl, each also with .gz, .xz or .zst behind it"))
        << name;
  EXPECT_THAT(message_of<DataError>([&] { check_input(folder.write("t.parquet", "PAR1")); }),
              HasSubstr("t.parquet: got a Parquet file, which this build does not read; need .txt or .jsonl"));
  EXPECT_THAT(message_of<DataError>([&] { check_input(folder / "missing.txt"); }), HasSubstr("got no such file"));
}

TEST(ReadDocuments, ReportsHowFarItIs) {
  const TemporaryFolder folder;
  const auto path = folder.write("t.txt", std::string(1'000'000, 'x'));
  std::vector<int64_t> seen;
  read_documents(
      path, {}, [](std::string&&) {}, [&](int64_t bytes) { seen.push_back(bytes); });
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 1'000'000);
}

}  // namespace
}  // namespace evenkeel::data
