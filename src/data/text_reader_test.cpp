#include "data/text_reader.h"

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ReadText, CutsAtBlankLines) {
  const TemporaryFolder folder;
  const auto cut = [&](std::string_view text) { return documents_of(folder.write("t.txt", text)); };
  EXPECT_THAT(cut("a\nb\n\nc\n"), ElementsAre("a\nb", "c"));
  EXPECT_THAT(cut("\n\n\na\n\n\n\nb"), ElementsAre("a", "b"));
  EXPECT_THAT(cut("a\r\nb\r\n\r\nc\r\n"), ElementsAre("a\nb", "c"));
  EXPECT_THAT(cut(" a \n \nb"), ElementsAre(" a \n \nb"));  // a line with a space is not empty
  EXPECT_THAT(cut(""), IsEmpty());
  EXPECT_THAT(cut("\n\r\n\n"), IsEmpty());
}

TEST(ReadText, CutsAtLinesStringsOrNotAtAll) {
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

TEST(ReadText, FindsSeparatorsAcrossPieces) {
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

TEST(ReadText, MakesLineEndsLineFeedsOrKeepsThem) {
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

TEST(ReadText, ALineThatACarriageReturnEndsIsDamagedAlone) {
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

TEST(ReadText, CountsFilesWithoutABlankLine) {
  const TemporaryFolder folder;
  const auto n_uncut = [&](std::string_view text) {
    return read_documents(folder.write("t.txt", text), {}, [](std::string&&) {}, {}).n_uncut_files;
  };
  EXPECT_EQ(n_uncut("a\nb\nc\n"), 1);
  EXPECT_EQ(n_uncut("a\nb\n\nc\n"), 0);
  EXPECT_EQ(n_uncut("a\n"), 0);
  EXPECT_EQ(n_uncut(""), 0);
}

}  // namespace
}  // namespace evenkeel::data
