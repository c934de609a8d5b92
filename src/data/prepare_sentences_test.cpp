#include <gmock/gmock.h>

#include "data/prepare.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;

Json pair(int64_t tokens, int64_t documents) {
  return Json::Object{{"tokens", tokens}, {"documents", documents}, {"inputs", std::vector<std::string>{"a", "b"}}};
}

TEST(PrepareSentences, SayWhatWasMade) {
  const Prepared plain{pair(1500, 3), {}, Holdout::none, {.n_documents = 3, .n_text_bytes = 2048, .n_text_files = 2}};
  EXPECT_THAT(sentences(plain, "en", {}), ElementsAre("read 3 documents (cut at blank lines), 2.0 KiB, from 2 inputs",
                                                      "en: 1.50k tokens in 3 documents"));
  const Prepared split{pair(9000, 1800),
                       pair(1000, 200),
                       Holdout::documents,
                       {.n_documents = 2000, .n_text_bytes = 2048, .n_text_files = 1, .n_json_files = 1}};
  EXPECT_THAT(sentences(split, "en", {.document_separator = "newline"}),
              ElementsAre("read 2000 documents (text: one a line; JSON: one a record), 2.0 KiB, from 2 inputs",
                          "en: 9.00k tokens in 1800 documents",
                          "en-heldout: 1.00k tokens, 10 % of all, in 200 documents, chosen by hash of the text"));
}

TEST(PrepareSentences, SayOnlyWhatHappened) {
  const auto first = [](const ReadSummary& read) {
    return sentences({pair(1500, 3), {}, Holdout::none, read}, "en", {}).at(0);
  };
  EXPECT_EQ(first({.n_documents = 3, .n_text_bytes = 2048, .n_json_files = 2}),
            "read 3 documents (one a record), 2.0 KiB, from 2 inputs");
  EXPECT_EQ(first({.n_documents = 2, .n_text_bytes = 2048, .n_uncut_files = 2, .n_text_files = 2}),
            "read 2 documents, 2.0 KiB, from 2 inputs");
  EXPECT_EQ(first({.n_documents = 2, .n_text_bytes = 2048, .n_uncut_files = 1, .n_text_files = 1, .n_json_files = 1}),
            "read 2 documents (JSON: one a record), 2.0 KiB, from 2 inputs");
  EXPECT_EQ(first({.n_documents = 2, .n_text_bytes = 2048, .n_parquet_files = 2}),
            "read 2 documents (one a row), 2.0 KiB, from 2 inputs");
  EXPECT_EQ(
      first({.n_documents = 3, .n_text_bytes = 2048, .n_text_files = 1, .n_json_files = 1, .n_parquet_files = 1}),
      "read 3 documents (text: cut at blank lines; JSON: one a record; Parquet: one a row), 2.0 KiB, from 2 inputs");
  EXPECT_THAT(changes_in_reading({.n_zero_bytes = 3}, {}), ElementsAre("3 zero bytes in the text: kept (is it text?)"));
}

TEST(PrepareSentences, SayWhatLeftNoTokens) {
  const Prepared plain{
      pair(1500, 2), {}, Holdout::none, {.n_documents = 3, .n_text_bytes = 2048, .n_text_files = 2}, 1};
  EXPECT_THAT(sentences(plain, "en", {}),
              ElementsAre("read 3 documents (cut at blank lines), 2.0 KiB, from 2 inputs",
                          "1 document of which the tokenizer makes no token, with --eod none: left out",
                          "en: 1.50k tokens in 2 documents"));
}

TEST(PrepareSentences, SayWhereABlockCutADocument) {
  const Prepared blocks{pair(731'000, 6),
                        pair(8192, 2),
                        Holdout::blocks,
                        {.n_documents = 1,
                         .n_text_bytes = 3 << 20,
                         .n_carriage_returns = 5,
                         .n_surrogates = 1,
                         .n_uncut_files = 1,
                         .n_text_files = 2}};
  EXPECT_THAT(
      sentences(blocks, "en", {.document_separator = "<|end|>"}),
      ElementsAre(
          "read 1 document (cut at \"<|end|>\"), 3.0 MiB, from 2 inputs",
          "1 input without a blank line: one document each (--document-separator newline would make each line one)",
          "5 line ends CR LF read as LF (--keep-cr keeps them)",
          "1 lone surrogate (half of a pair, as \\ud83d alone) became U+FFFD", "en: 731k tokens",
          "en-heldout: 8.19k tokens, 1.11 % of all, in blocks of 4,096 tokens (held out by documents from 1,000 "
          "documents on)",
          "a document is cut where a held-out block begins or ends: the 1 document became 6 parts in en and 2 in "
          "en-heldout"));
}

TEST(PrepareSentences, SayThatCarriageReturnsWereKept) {
  EXPECT_THAT(changes_in_reading({.n_carriage_returns = 1}, {.keeps_carriage_returns = true}),
              ElementsAre("1 line end CR LF kept (--keep-cr)"));
  EXPECT_THAT(changes_in_reading({.n_lone_carriage_returns = 2}, {.keeps_carriage_returns = true}),
              ElementsAre("2 line ends CR kept (--keep-cr)"));
  EXPECT_THAT(changes_in_reading({.n_lone_carriage_returns = 2}, {}),
              ElementsAre("2 line ends CR read as LF (--keep-cr keeps them)"));
  EXPECT_THAT(changes_in_reading({}, {}), ElementsAre());
}

TEST(PrepareSentences, NameDamageByWhatWasRead) {
  EXPECT_EQ(counted_bad_lines({.n_bad_lines = 1, .n_text_files = 1}), "1 damaged line");
  EXPECT_EQ(counted_bad_lines({.n_bad_lines = 2, .n_parquet_files = 1}), "2 damaged rows");
  EXPECT_EQ(counted_bad_lines({.n_bad_lines = 1, .n_json_files = 1, .n_parquet_files = 1}), "1 damaged line or row");
}

TEST(PrepareSentences, SayHowManyRecordsHadNoText) {
  EXPECT_THAT(changes_in_reading({.n_documents = 3, .n_empty_records = 2}, {}),
              ElementsAre("2 records without text: no document"));
  EXPECT_THAT(changes_in_reading({.n_documents = 3, .n_empty_records = 1}, {}),
              ElementsAre("1 record without text: no document"));
}

}  // namespace
}  // namespace evenkeel::data
