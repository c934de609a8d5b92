#include "data/text_stream.h"

#include <set>

#include <gtest/gtest.h>

#include "core/rng.h"
#include "support/made_sets.h"

namespace evenkeel::data {
namespace {

using testing::counted_documents;
using testing::TemporaryFolder;

constexpr int64_t kBlock = 8;

// 44 tokens in documents of 6: five blocks of 8, and four tokens that are none's. Token t has the id t.
class TextStreams : public ::testing::Test {
 protected:
  TextStream stream(bool shuffle, uint64_t seed = 3) const { return {set_, kBlock, {seed, shuffle}}; }
  Text read(const TextStream& stream, int64_t begin, int64_t n_tokens, bool with_documents = false) const {
    return stream.read({.begin = begin, .end = begin + n_tokens, .n_tokens = n_tokens}, with_documents);
  }
  TemporaryFolder folder_;
  IndexedDataset set_ = IndexedDataset::open(testing::write_documents(folder_, "set", counted_documents(44, 6)));
};

TEST_F(TextStreams, IsReadFromTheFileWithWhatFollowsAndDocumentsFromTheFirst) {
  const auto text = read_text(set_, 4, 3, /*with_documents=*/true);
  EXPECT_EQ(text.tokens, (std::vector<int64_t>{4, 5, 6}));
  EXPECT_EQ(text.following, (std::vector<int64_t>{5, 6, 7}));
  EXPECT_EQ(text.documents, (std::vector<int32_t>{0, 0, 1}));
  EXPECT_TRUE(read_text(set_, 7, 3, false).documents.empty());
}

TEST_F(TextStreams, HasEachTokenOnceAnEpochWhereverItIsCut) {
  for (const bool shuffle : {false, true}) {
    const auto text = stream(shuffle);
    EXPECT_EQ(text.n_blocks(), 5);
    const auto whole = read(text, 0, 120).tokens;
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      const std::set<int64_t> seen(whole.begin() + epoch * 40, whole.begin() + (epoch + 1) * 40);
      EXPECT_EQ(seen.size(), 40U);
      EXPECT_EQ(*seen.rbegin(), 39);
      EXPECT_EQ(text.epoch_of(epoch * 40), epoch);
      EXPECT_EQ(text.epoch_of(epoch * 40 + 39), epoch);
    }
    std::vector<int64_t> pieces;
    for (int64_t begin = 0, n = 1; begin < 120; begin += n, n = std::min<int64_t>(n + 3, 120 - begin)) {
      const auto piece = read(text, begin, n).tokens;
      pieces.insert(pieces.end(), piece.begin(), piece.end());
    }
    EXPECT_EQ(pieces, whole);
  }
}

TEST_F(TextStreams, JoinsBlocksInTheOrderOfTheEpoch) {
  const auto text = stream(true);
  for (int64_t number = 0; number < 15; ++number) {
    const int64_t epoch = number / 5;
    const uint64_t key = combine_bits(3, static_cast<uint64_t>(epoch));
    const auto block = static_cast<int64_t>(permuted_index(static_cast<uint64_t>(number % 5), 5, key));
    EXPECT_EQ(text.block_of(number * kBlock + 3), block);
    EXPECT_EQ(read(text, number * kBlock + 3, 1).tokens[0], block * kBlock + 3);
    EXPECT_EQ(stream(false).block_of(number * kBlock + 7), number % 5);
  }
  EXPECT_NE(read(text, 0, 40).tokens, read(text, 40, 40).tokens);
  EXPECT_NE(read(text, 0, 40).tokens, read(stream(true, 4), 0, 40).tokens);
}

// Where a block ends, its last token is scored by the file's next one, not by what the stream has next.
TEST_F(TextStreams, EachTokenIsFollowedByTheNextOfTheFile) {
  for (const bool shuffle : {false, true}) {
    const auto text = read(stream(shuffle), 5, 90);
    for (size_t i = 0; i < text.tokens.size(); ++i) EXPECT_EQ(text.following[i], text.tokens[i] + 1);
  }
}

TEST_F(TextStreams, BlocksThatAreNoNeighboursAreOfOtherDocuments) {
  const auto in_order = read(stream(false), 4, 40, true);  // tokens 4 .. 39, then 0 .. 3 of the next epoch
  for (size_t i = 0; i < 36; ++i) EXPECT_EQ(in_order.documents[i], static_cast<int32_t>((4 + i) / 6));
  for (size_t i = 36; i < 40; ++i) EXPECT_EQ(in_order.documents[i], in_order.documents[35] + 1);
  const auto mixed = read(stream(true), 0, 80, true);
  EXPECT_EQ(mixed.documents[0], 0);
  for (size_t i = 1; i < 80; ++i) {
    const bool is_neighbour = mixed.tokens[i] == mixed.tokens[i - 1] + 1;
    const bool is_border = !is_neighbour || mixed.tokens[i] % 6 == 0;
    EXPECT_EQ(mixed.documents[i] - mixed.documents[i - 1], is_border ? 1 : 0) << i;
  }
}

TEST_F(TextStreams, CursorsCountTextAndExamples) {
  const auto text = stream(true);
  TextCursor cursor;
  EXPECT_EQ(text.position(cursor), 0);
  text.advance(cursor, 8);
  EXPECT_EQ(cursor, (TextCursor{1, 0, 1}));
  EXPECT_EQ(to_json(cursor).dump(), "1");  // as before there were examples of other lengths
  text.advance(cursor, 29);
  EXPECT_EQ(cursor, (TextCursor{3, 5, 2}));
  EXPECT_EQ(text.position(cursor), 29);
  EXPECT_EQ(to_json(cursor).dump(), R"({"samples":3,"tokens":5,"examples":2})");
  for (const TextCursor& each : {cursor, TextCursor{4, 0, 4}, TextCursor{4, 0, 5}, TextCursor{}})
    EXPECT_EQ(text_cursor_from_json(to_json(each)), each);
}

TEST_F(TextStreams, OnceIsTheWholeFileInItsOrder) {
  const auto once = TextStream::once(set_, 7);
  EXPECT_EQ(once.end(), 43);
  EXPECT_EQ(once.seed(), 7U);
  EXPECT_EQ(stream(true).end(), std::numeric_limits<int64_t>::max());
  const auto text = read(once, 0, 43);
  for (int64_t t = 0; t < 43; ++t) EXPECT_EQ(text.tokens[static_cast<size_t>(t)], t);
  const auto single = IndexedDataset::open(testing::write_documents(folder_, "single", {{5}}));
  EXPECT_EQ(TextStream::once(single, 1).end(), 0);
}

TEST(TextStreamOfConversations, ReadsWhatIsScoredOfAPieceOfTheFile) {
  const TemporaryFolder folder;
  const auto set = IndexedDataset::open(
      testing::write_conversations(folder, "talk", {{10, 11, 12}, {20, 21, 22}}, {{0, 0, 1}, {0, 1, 1}}));
  const TextStream stream(set, 2, {1, true});
  const auto text = stream.read({.begin = 1, .end = 3, .n_tokens = 2, .in_file = 3}, false);
  EXPECT_EQ(text.tokens, (std::vector<int64_t>{20, 21}));
  EXPECT_EQ(text.scored, (std::vector<uint8_t>{1, 1}));  // of 21 and 22
  EXPECT_TRUE(stream.read({.begin = 1, .end = 3, .n_tokens = 2}, false).scored.empty());
}

}  // namespace
}  // namespace evenkeel::data
