#include "data/readers.h"

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ReadDocuments, CountsFilesAndZeroBytes) {
  const TemporaryFolder folder;
  const auto summary = [&](const char* name, std::string_view text) {
    return read_documents(folder.write(name, text), {}, [](std::string&&) {}, {});
  };
  auto read = summary("a.txt", std::string_view("some text\0 of two\0\n\nb", 21));
  EXPECT_EQ(read.n_zero_bytes, 2);
  EXPECT_EQ(read.n_text_files, 1);
  read += summary("b.jsonl", "{\"text\": \"a\\u0000b\"}\n");
  EXPECT_EQ(read.n_zero_bytes, 3);
  EXPECT_EQ(read.n_json_files, 1);
  EXPECT_EQ(read.n_documents, 3);
}

TEST(ReadDocuments, NamesTheByteThatIsNoUtf8) {
  const TemporaryFolder folder;
  for (const std::string separator : {"blank-line", "newline", "none", "line"}) {
    const auto path = folder.write("t.txt", "first line\n\nsecond \xff line");
    EXPECT_THAT(message_of<DataError>([&] { documents_of(path, {.document_separator = separator}); }),
                HasSubstr(path.string() + ":3: got byte 0xff at byte 8, which is no UTF-8"))
        << separator;
  }
  const auto cut = folder.write("cut.txt", "ab\xc3");
  EXPECT_THAT(message_of<DataError>([&] { documents_of(cut); }), HasSubstr(":1: got byte 0xc3 at byte 3"));
  const auto json = folder.write("t.jsonl", "{\"text\": \"a\"}\n{\"text\": \"\xe2(\"}");
  EXPECT_THAT(message_of<DataError>([&] { documents_of(json); }),
              HasSubstr(json.string() + ":2: got byte 0xe2 at byte 11"));
}

// The same place of the same text, whichever reader finds the fault: counted from 1, within the line.
TEST(ReadDocuments, CountsTheByteWithinItsLineWhateverTheFault) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& name, const std::string& text, const std::string& separator) {
    return message_of<DataError>([&] { documents_of(folder.write(name, text), {.document_separator = separator}); });
  };
  const std::string before = "{\"text\": \"a\"}\n{\"text\": \"b\"}";
  EXPECT_THAT(message("t.jsonl", before + "!\n", "blank-line"),
              HasSubstr("t.jsonl:2: got text that is not JSON at byte 14"));
  EXPECT_THAT(message("t.jsonl", before + std::string("\0\n", 2), "blank-line"),
              HasSubstr("t.jsonl:2: got a zero byte, which is not JSON, at byte 14"));
  EXPECT_THAT(message("t.jsonl", before + "\xff\n", "blank-line"), HasSubstr("t.jsonl:2: got byte 0xff at byte 14"));
  for (const std::string separator : {"blank-line", "newline", "none", "}", "b", "\n{"})
    EXPECT_THAT(message("t.txt", before + "\xff\n", separator), HasSubstr("t.txt:2: got byte 0xff at byte 14"))
        << separator;
}

TEST(ReadDocuments, AMessageOnADamagedLineNamesTheWayOn) {
  const TemporaryFolder folder;
  const std::string skips = "--skip-bad passes over damaged lines)";
  for (const std::string separator : {"blank-line", "newline", "none", "line"}) {
    const auto path = folder.write("latin1.txt", "Gr\xfc\xdf\x65\n");
    EXPECT_THAT(message_of<DataError>([&] { documents_of(path, {.document_separator = separator}); }),
                ::testing::EndsWith("need UTF-8 text (iconv -f latin1 -t utf-8 makes it of Latin-1; " + skips))
        << separator;
  }
  for (const std::string line : {"{\"text\": ", "{\"txt\": \"a\"}", "{\"text\": 17}", "{\"text\": \"\xfc\"}"})
    EXPECT_THAT(message_of<DataError>([&] { documents_of(folder.write("t.jsonl", line + "\n")); }),
                ::testing::EndsWith(skips))
        << line;
  ReaderOptions skipping;
  skipping.on_bad_line = [&](const BadLine& line) {
    EXPECT_THAT(line.reason, ::testing::EndsWith("need UTF-8 text (iconv -f latin1 -t utf-8 makes it of Latin-1)"));
  };
  EXPECT_EQ(read_documents(folder / "latin1.txt", skipping, [](std::string&&) {}, {}).n_bad_lines, 1);
}

TEST(ReadDocuments, PassesOverDamagedLines) {
  const TemporaryFolder folder;
  std::vector<std::string> documents, bad;
  ReaderOptions options;
  options.on_bad_line = [&](const BadLine& line) {
    bad.push_back(join_parts(line.line, " ", line.byte, " ", line.reason));
  };
  const auto read = [&](const std::string& name, const std::string& text) {
    documents.clear();
    bad.clear();
    return read_documents(folder.write(name, text), options,
                          [&](std::string&& document) { documents.push_back(std::move(document)); }, {})
        .n_bad_lines;
  };
  EXPECT_EQ(read("t.jsonl", "{\"text\": \"a\"}\noops\n{\"text\": 3}\n\n{\"text\": \"\xff\"}\n{\"text\": \"b\"}\n"), 3);
  EXPECT_THAT(documents, ElementsAre("a", "b"));
  EXPECT_THAT(bad, ElementsAre(HasSubstr("2 14 got text that is not JSON at byte 1"),
                               HasSubstr("3 19 got integer \"3\" in field 'text'"),
                               HasSubstr("5 32 got byte 0xff at byte 11")));
  for (const std::string separator : {"blank-line", "none", "#"}) {
    options.document_separator = separator;
    EXPECT_EQ(read("t.txt", "a\nb\xff\nc"), 1) << separator;
    EXPECT_THAT(documents, ElementsAre("a\nc"));
    EXPECT_THAT(bad, ElementsAre(HasSubstr("2 2 got byte 0xff at byte 2")));
  }
  options.document_separator = "newline";
  EXPECT_EQ(read("t.txt", "a\nb\xff\nc"), 1);
  EXPECT_THAT(documents, ElementsAre("a", "c"));
  EXPECT_THROW(read("t.txt",
                    "\xff\xfe"
                    "a"),
               DataError);  // no text at all
}

TEST(ReadDocuments, ListsTheSuffixesThatItKnows) {
  const TemporaryFolder folder;
  for (const std::string name : {"t.csv", "t", "t.gz", "t.csv.gz", "t.txt.bz2"})
    EXPECT_THAT(message_of<DataError>([&] { documents_of(folder.write(name, "a")); }),
                HasSubstr("need .txt, .jsonl, .ndjson or .json (records one a line), each also with .gz, .xz or .zst "
                          "behind it, or .parquet"))
        << name;
  EXPECT_THAT(message_of<DataError>([&] { check_input(folder.write("t.csv.gz", "")); }),
              HasSubstr("got suffix '.csv.gz'"));
  EXPECT_THAT(message_of<DataError>([&] { check_input(folder.write("t.parquet.gz", "")); }),
              HasSubstr("got suffix '.parquet.gz'; need .txt"));
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

TEST(BadLine, NamesItsPlace) {
  const fs::path path = "a/t.txt";
  EXPECT_EQ((BadLine{path, 3, 0, ""}.place()), "a/t.txt:3");
  EXPECT_EQ((BadLine{path, 3, 0, "", RecordUnit::row}.place()), "a/t.txt: row 3");
}

}  // namespace
}  // namespace evenkeel::data
