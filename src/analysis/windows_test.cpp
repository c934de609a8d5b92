#include "analysis/windows.h"

#include <gmock/gmock.h>

#include "analysis/test_support.h"
#include "core/errors.h"

namespace evenkeel::analysis {
namespace {

using ::testing::HasSubstr;

TEST(DatasetWindows, AreThoseOfAnEvaluation) {
  const testing::TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(write_documents(folder, "a", 30));
  const auto windows = windows_of(dataset, 8, 0);
  EXPECT_EQ(windows->n_tokens(), 29);
  EXPECT_EQ(windows->n_windows(), 4);
  EXPECT_EQ(windows->length(), 8);
  std::vector<int64_t> stream(30);
  dataset.copy(0, 30, stream.data());
  int64_t place = 0;
  for (const int64_t rows : {2, 1, 1}) {  // two at a time: 8 8, 8, 5
    const auto batch = windows->next(2);
    ASSERT_EQ(batch.tokens.size(0), rows);
    for (int64_t i = 0; i < batch.tokens.numel(); ++i, ++place) {
      EXPECT_EQ(batch.tokens.view({-1})[i].item<int64_t>(), stream[static_cast<size_t>(place)]);
      EXPECT_EQ(batch.targets.view({-1})[i].item<int64_t>(), stream[static_cast<size_t>(place + 1)]);
      EXPECT_EQ(batch.document_ids.view({-1})[i].item<int64_t>(), place / 7)
          << place;  // of the data set, not of the row
    }
  }
  EXPECT_EQ(place, 29);
  EXPECT_EQ(windows->next(2).tokens.size(0), 0);
}

TEST(DatasetWindows, StopAtTheMostTokensAndNeedTwo) {
  const testing::TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(write_documents(folder, "a", 30));
  const auto windows = windows_of(dataset, 8, 10);
  EXPECT_EQ(windows->n_tokens(), 10);
  EXPECT_EQ(windows->n_windows(), 2);
  EXPECT_EQ(windows_of(dataset, 100, 0)->length(), 29);
  const auto one = data::IndexedDataset::open(write_documents(folder, "one", 1));
  EXPECT_THAT(testing::message_of<DataError>([&] { windows_of(one, 8, 0); }),
              HasSubstr("got 1 tokens; need at least 2"));
}

TEST(SequenceWindows, EachIsADocumentWithoutALastTarget) {
  const auto sequences = at::arange(12).view({3, 4});
  const auto windows = windows_of(sequences);
  EXPECT_EQ(windows->n_tokens(), 12);
  auto batch = windows->next(2);
  EXPECT_TRUE(testing::same_bits(batch.tokens, sequences.narrow(0, 0, 2)));
  EXPECT_TRUE(testing::same_bits(batch.targets, at::tensor({1, 2, 3, -1, 5, 6, 7, -1}, at::kLong).view({2, 4})));
  EXPECT_TRUE(testing::same_bits(batch.document_ids, at::tensor({0, 0, 0, 0, 1, 1, 1, 1}, at::kInt).view({2, 4})));
  batch = windows->next(2);
  EXPECT_EQ(batch.tokens.size(0), 1);
  EXPECT_EQ(batch.document_ids[0][0].item<int64_t>(), 2);
  EXPECT_EQ(windows->next(2).tokens.size(0), 0);
}

TEST(ReadSequences, TakesArraysOfOneLength) {
  const testing::TemporaryFolder folder;
  EXPECT_TRUE(testing::same_bits(read_sequences(folder.write("a.json", "[[1, 2, 3], [4, 5, 15]]"), 16),
                                 at::tensor({1, 2, 3, 4, 5, 15}, at::kLong).view({2, 3})));
}

TEST(ReadSequences, RefusesWhatIsNone) {
  const testing::TemporaryFolder folder;
  const auto message = [&](const std::string& text) {
    return testing::message_of<DataError>([&] { read_sequences(folder.write("a.json", text), 16); });
  };
  const std::string path = (folder / "a.json").string();
  EXPECT_THAT(message("[[1, 2], [3]]"), HasSubstr(path + ": sequence 1: got 1 id; need 2 as in the first"));
  EXPECT_THAT(message("[[]]"), HasSubstr("got 0 ids; need at least 1"));
  EXPECT_THAT(message("[]"), HasSubstr("got no sequence"));
  EXPECT_THAT(message("[[1, 16]]"), HasSubstr("sequence 0, place 1: got id 16; need 0..15"));
  EXPECT_THAT(message("[[1, -1]]"), HasSubstr("got id -1"));
  EXPECT_THAT(message("[[1, 2.5]]"), HasSubstr("got 2.5; need an array of equally long arrays"));
  EXPECT_THAT(message("[[1, 2.0]]"), HasSubstr("got 2; need an array of equally long arrays of token ids, whole "
                                               "numbers written without a point or an exponent"));
  EXPECT_THAT(message("[[1, 99999999999999999999]]"), HasSubstr("need an array of equally long arrays"));
  EXPECT_THAT(message("[1, 2]"), HasSubstr("got 1; need an array of equally long"));
  EXPECT_THAT(message("{\"a\": 1}"), HasSubstr("got an object"));
  EXPECT_THAT(message("[[[1]]]"), HasSubstr("got a deeper array"));
  EXPECT_THAT(message("[[1, 2]"), HasSubstr("not JSON at byte"));
  EXPECT_THAT(testing::message_of<DataError>([&] { read_sequences(folder / "none.json", 16); }),
              HasSubstr("no such file"));
  EXPECT_THAT(testing::message_of<DataError>([&] { read_sequences(folder.path(), 16); }),
              HasSubstr("need a regular file"));
}

}  // namespace
}  // namespace evenkeel::analysis
