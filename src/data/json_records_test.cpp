#include "data/json_records.h"

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ReadJsonRecords, ReadsTheFieldOfJsonLines) {
  const TemporaryFolder folder;
  const auto path = folder.write(
      "t.jsonl", "{\"text\": \"a\\n\\u00e9\", \"n\": 1}\r\n\n  \n{\"n\": 2, \"text\": \"\"}\n{\"text\":\"b\"}");
  EXPECT_THAT(documents_of(path), ElementsAre("a\n\xc3\xa9", "b"));
  EXPECT_THAT(documents_of(folder.write("u.jsonl", "{\"body\": \"c\"}"), {.text_field = "body"}), ElementsAre("c"));
}

TEST(ReadJsonRecords, CountsRecordsWithoutText) {
  const TemporaryFolder folder;
  const auto n_empty = [&](const char* name, std::string_view text) {
    return read_documents(folder.write(name, text), {}, [](std::string&&) {}, {}).n_empty_records;
  };
  EXPECT_EQ(n_empty("a.jsonl", "{\"text\": \"\"}\n\n{\"text\": \"b\"}\n{\"text\": \"\"}\n"), 2);
  EXPECT_EQ(n_empty("b.txt", "\n\na\n\n\n\nb\n"), 0);  // blank lines cut, however many
}

TEST(ReadJsonRecords, NamesTheLineOfWhatIsNoDocument) {
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

TEST(ReadJsonRecords, TakesTheJsonOfOtherWriters) {
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

TEST(ReadJsonRecords, SaysHowToWriteOneRecordALine) {
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

TEST(ReadJsonRecords, RefusesWhatFollowsARecord) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& text) {
    return message_of<DataError>([&] { documents_of(folder.write("t.jsonl", text)); });
  };
  EXPECT_THAT(refusal(std::string("{\"text\": \"a\"}\0{\"text\": \"b\"}\n", 28)),
              HasSubstr("t.jsonl:1: got a zero byte, which is not JSON, at byte 14"));
  EXPECT_THAT(refusal("{\"text\": \"a\"}{\"text\": \"b\"}\n"), HasSubstr("not JSON at byte 14"));
  EXPECT_THAT(refusal("{\"text\": \"a\", \"text\": \"b\"}\n"), HasSubstr("got the field 'text' twice"));
}

}  // namespace
}  // namespace evenkeel::data
