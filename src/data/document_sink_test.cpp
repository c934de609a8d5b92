#include "data/document_sink.h"

#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Sunk {
  explicit Sunk(ReaderOptions given = {}) : options(std::move(given)) {}
  const fs::path path = "t.txt";
  ReaderOptions options;
  std::vector<std::string> documents;
  TakeDocument take = [this](std::string&& text) { documents.push_back(std::move(text)); };
  DocumentSink sink{path, options, take};
};

TEST(DocumentSink, CountsDocumentsBytesAndZeroBytes) {
  Sunk sunk;
  for (const auto& text : {std::string("a\0b", 3), std::string(), std::string("c")}) sunk.sink.give(std::string(text));
  EXPECT_THAT(sunk.documents, ElementsAre(std::string("a\0b", 3), "c"));
  const ReadSummary& read = sunk.sink.summary();
  EXPECT_EQ(read.n_documents, 2);
  EXPECT_EQ(read.n_text_bytes, 4);
  EXPECT_EQ(read.n_zero_bytes, 1);
}

TEST(DocumentSink, MakesLineEndsLineFeedsOrKeepsThem) {
  for (const bool keeps : {false, true}) {
    Sunk sunk({.keeps_carriage_returns = keeps});
    sunk.sink.give_with_line_ends("a\r\nb\r\r\nc\rd\r");
    EXPECT_THAT(sunk.documents, ElementsAre(keeps ? "a\r\nb\r\r\nc\rd\r" : "a\nb\nc\nd\n"));
    EXPECT_EQ(sunk.sink.summary().n_carriage_returns, 2);
    EXPECT_EQ(sunk.sink.summary().n_lone_carriage_returns, 2);
  }
  Sunk sunk;
  sunk.sink.give_with_line_ends("a\rb\r", /*is_before_line_feed=*/true);  // the last one was counted with its LF
  EXPECT_EQ(sunk.sink.summary().n_lone_carriage_returns, 1);
}

TEST(DocumentSink, NamesTheByteWithinItsLine) {
  Sunk sunk;
  const auto message = [&](std::string_view text, int64_t n_before) {
    return message_of<DataError>([&] { sunk.sink.check_utf8(text, 7, n_before); });
  };
  EXPECT_THAT(message("a\xff", 0), HasSubstr("t.txt:7: got byte 0xff at byte 2"));
  EXPECT_THAT(message("a\xff", 10), HasSubstr("t.txt:7: got byte 0xff at byte 12"));
  EXPECT_THAT(message("a\n\nbc\xff", 10), HasSubstr("t.txt:9: got byte 0xff at byte 3"));
  EXPECT_NO_THROW(sunk.sink.check_line("fine", 1, /*is_cut=*/false));
  EXPECT_THAT(message_of<DataError>([&] { sunk.sink.check_line("cut", 3, /*is_cut=*/true); }),
              HasSubstr("t.txt:3: got a line of more than 256.0 MiB"));
}

TEST(DocumentSink, CountsTheByteOfARowWithinTheRow) {
  const fs::path path = "t.parquet";
  const ReaderOptions options;
  const TakeDocument take = [](std::string&&) {};
  const DocumentSink sink(path, options, take, RecordUnit::row);
  EXPECT_EQ(message_of<DataError>([&] { sink.check_utf8("a\nb\xff", 7); }),
            "t.parquet: row 7: got byte 0xff at byte 4, which is no UTF-8; need UTF-8 text (--skip-bad passes over "
            "damaged rows)");
}

TEST(DocumentSink, HandsADamagedLineOnOrThrows) {
  const auto check = [] { fail<DataError>("t.txt:3: got a fault; need none"); };
  Sunk strict;
  EXPECT_EQ(message_of<DataError>([&] { strict.sink.is_good(3, 20, check); }), "t.txt:3: got a fault; need none");
  EXPECT_THAT(strict.sink.or_skip(), HasSubstr("--skip-bad"));
  std::vector<std::string> bad;
  ReaderOptions options;
  options.on_bad_line = [&](const BadLine& line) { bad.push_back(join_parts(line.line, "@", line.byte, line.reason)); };
  Sunk skipping(options);
  EXPECT_FALSE(skipping.sink.is_good(3, 20, check));
  EXPECT_TRUE(skipping.sink.is_good(4, 30, [] {}));
  EXPECT_THAT(bad, ElementsAre("3@20got a fault; need none"));
  EXPECT_EQ(skipping.sink.summary().n_bad_lines, 1);
  EXPECT_THAT(skipping.sink.or_skip(), IsEmpty());
  EXPECT_THROW(skipping.sink.is_good(5, 0, [] { fail<MachineError>("disk: got an error; need none"); }), MachineError);
}

}  // namespace
}  // namespace evenkeel::data
