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
  EXPECT_THAT(cut("a\r\nb\r\n\r\nc\r\n"), ElementsAre("a\nb", "c"));
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
  EXPECT_THAT(cut("a\n\nb\r\n", "none"), ElementsAre("a\n\nb\n"));
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
  const auto path = folder.write(
      "t.jsonl", "{\"text\": \"a\\n\\u00e9\", \"n\": 1}\r\n\n  \n{\"n\": 2, \"text\": \"\"}\n{\"text\":\"b\"}");
  EXPECT_THAT(documents_of(path), ElementsAre("a\n\xc3\xa9", "b"));
  EXPECT_THAT(documents_of(folder.write("u.jsonl", "{\"body\": \"c\"}"), {.text_field = "body"}), ElementsAre("c"));
}

TEST(ReadDocuments, CountsRecordsWithoutText) {
  const TemporaryFolder folder;
  const auto n_empty = [&](const char* name, std::string_view text) {
    return read_documents(folder.write(name, text), {}, [](std::string&&) {}, {}).n_empty_records;
  };
  EXPECT_EQ(n_empty("a.jsonl", "{\"text\": \"\"}\n\n{\"text\": \"b\"}\n{\"text\": \"\"}\n"), 2);
  EXPECT_EQ(n_empty("b.txt", "\n\na\n\n\n\nb\n"), 0);  // blank lines cut, however many
}

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

TEST(ReadDocuments, MakesLineEndsLineFeedsOrKeepsThem) {
  const TemporaryFolder folder;
  const auto path = folder.write("t.txt", "a\r\nb\r\r\n\r\nc\rd\r\n");
  const auto json = folder.write("t.jsonl", "{\"text\": \"a\\r\\nb\\rc\\n\"}\r\n");
  const auto mac = folder.write("mac.txt", "a\rb\r\rc\r");
  struct Case {
    fs::path path;
    std::string separator;
    bool keeps;
    std::vector<std::string> documents;
    int64_t n_crlf, n_lone;
  };
  const Case cases[] = {
      {path, "blank-line", false, {"a\nb", "c\nd"}, 4, 1},
      {path, "blank-line", true, {"a\r\nb\r", "c\rd"}, 4, 1},
      {path, "newline", false, {"a", "b", "c", "d"}, 4, 1},
      {path, "none", false, {"a\nb\n\nc\nd\n"}, 4, 1},
      {path, "none", true, {"a\r\nb\r\r\n\r\nc\rd\r\n"}, 4, 1},
      {path, "\n", false, {"a", "b", "c\nd"}, 4, 1},
      {path, "\n", true, {"a\r", "b\r\r", "\r", "c\rd\r"}, 4, 1},
      {json, "blank-line", false, {"a\nb\nc\n"}, 1, 1},
      {json, "blank-line", true, {"a\r\nb\rc\n"}, 1, 1},
      {mac, "blank-line", false, {"a\nb", "c"}, 0, 4},
      {mac, "blank-line", true, {"a\rb\r\rc\r"}, 0, 4},
      {mac, "newline", false, {"a", "b", "c"}, 0, 4},
      {mac, "none", false, {"a\nb\n\nc\n"}, 0, 4},
  };
  for (const auto& c : cases) {
    std::vector<std::string> documents;
    const auto read = read_documents(c.path, {.document_separator = c.separator, .keeps_carriage_returns = c.keeps},
                                     [&](std::string&& text) { documents.push_back(std::move(text)); }, {});
    EXPECT_EQ(documents, c.documents) << c.separator << c.keeps;
    EXPECT_EQ(read.n_carriage_returns, c.n_crlf) << c.separator << c.keeps;
    EXPECT_EQ(read.n_lone_carriage_returns, c.n_lone) << c.separator << c.keeps;
    EXPECT_EQ(read.n_documents, static_cast<int64_t>(documents.size()));
  }
}

TEST(ReadDocuments, ALineThatACarriageReturnEndsIsDamagedAlone) {
  const TemporaryFolder folder;
  const auto path = folder.write("mac.txt", "one\rtw\xe4\rthree\r\nf\xe4ur\rfive");
  std::vector<std::string> documents, bad;
  ReaderOptions options{.document_separator = "newline"};
  options.on_bad_line = [&](const BadLine& line) {
    bad.push_back(std::to_string(line.line) + "@" + std::to_string(line.byte));
  };
  const auto read =
      read_documents(path, options, [&](std::string&& text) { documents.push_back(std::move(text)); }, {});
  EXPECT_THAT(documents, ElementsAre("one", "three", "five"));
  EXPECT_THAT(bad, ElementsAre("2@4", "4@15"));
  EXPECT_EQ(read.n_carriage_returns, 1);
  EXPECT_EQ(read.n_lone_carriage_returns, 3);
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

TEST(ReadDocuments, TakesTheJsonOfOtherWriters) {
  const TemporaryFolder folder;
  std::vector<std::string> documents;
  const auto path = folder.write("t.ndjson",
                                 "\xEF\xBB\xBF{\"q\": NaN, \"text\": \"a\"}\n{\"q\": [-Infinity, {\"text\": 3}], "
                                 "\"text\": \"\\ud83d\\u00e9\\ud83d\\ude00\"}\n");
  const auto read = read_documents(path, {}, [&](std::string&& text) { documents.push_back(std::move(text)); }, {});
  EXPECT_THAT(documents, ElementsAre("a", "\uFFFD\u00e9\U0001F600"));
  EXPECT_EQ(read.n_surrogates, 1);
  EXPECT_THAT(documents_of(folder.write("t.txt", "\xEF\xBB\xBF\n\nmark")), ElementsAre("mark"));
}

TEST(ReadDocuments, SaysHowToWriteOneRecordALine) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& text) {
    return message_of<DataError>([&] { documents_of(folder.write("t.json", text)); });
  };
  EXPECT_THAT(
      refusal("[\n{\"text\": \"a\"},\n"),
      HasSubstr(
          "t.json:1: got \"[\", after which the JSON goes on in the next line; need one record a line (jq -c '.[]'"));
  EXPECT_THAT(refusal("[{\"text\": \"a\"},\n{\"text\": \"b\"}]\n"), HasSubstr("jq -c '.[]'"));
  EXPECT_THAT(refusal("[{\"text\": \"a\"}]"), HasSubstr("need a JSON object in each line (jq -c '.[]'"));
  EXPECT_THAT(refusal("{\n  \"text\": \"a\"\n}\n"), HasSubstr("jq -c . writes them so"));
  EXPECT_THAT(refusal("{\"text\": \"a\",\n \"b\": 1}\n"), HasSubstr("jq -c . writes them so"));
}

TEST(ReadDocuments, RefusesWhatFollowsARecord) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& text) {
    return message_of<DataError>([&] { documents_of(folder.write("t.jsonl", text)); });
  };
  EXPECT_THAT(refusal(std::string("{\"text\": \"a\"}\0{\"text\": \"b\"}\n", 28)),
              HasSubstr("t.jsonl:1: got a zero byte, which is not JSON, at byte 14"));
  EXPECT_THAT(refusal("{\"text\": \"a\"}{\"text\": \"b\"}\n"), HasSubstr("not JSON at byte 14"));
  EXPECT_THAT(refusal("{\"text\": \"a\", \"text\": \"b\"}\n"), HasSubstr("got the field 'text' twice"));
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

TEST(ReadDocuments, CountsFilesWithoutABlankLine) {
  const TemporaryFolder folder;
  const auto n_uncut = [&](std::string_view text) {
    return read_documents(folder.write("t.txt", text), {}, [](std::string&&) {}, {}).n_uncut_files;
  };
  EXPECT_EQ(n_uncut("a\nb\nc\n"), 1);
  EXPECT_EQ(n_uncut("a\nb\n\nc\n"), 0);
  EXPECT_EQ(n_uncut("a\n"), 0);
  EXPECT_EQ(n_uncut(""), 0);
}

TEST(ReadDocuments, ListsTheSuffixesThatItKnows) {
  const TemporaryFolder folder;
  for (const std::string name : {"t.csv", "t", "t.gz", "t.csv.gz", "t.txt.bz2"})
    EXPECT_THAT(
        message_of<DataError>([&] { documents_of(folder.write(name, "a")); }),
        HasSubstr(
            "need .txt, .jsonl, .ndjson or .json (records one a line), each also with .gz, .xz or .zst behind it"))
        << name;
  EXPECT_THAT(message_of<DataError>([&] { check_input(folder.write("t.csv.gz", "")); }),
              HasSubstr("got suffix '.csv.gz'"));
  EXPECT_THAT(message_of<DataError>([&] { check_input(folder.write("t.parquet", "PAR1")); }),
              HasSubstr("t.parquet: got a Parquet file, whose reading is not there yet; need .txt"));
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
