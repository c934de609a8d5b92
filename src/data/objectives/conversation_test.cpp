#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/rng.h"
#include "data/packing.h"
#include "golden/golden.h"
#include "support/made_sets.h"

namespace evenkeel::data {
namespace {

using ::testing::HasSubstr;
using testing::integers_of;
using testing::message_of;
using testing::objective_of;
using testing::TemporaryFolder;

using Documents = std::vector<std::vector<int32_t>>;
using Marks = std::vector<std::vector<uint8_t>>;

std::shared_ptr<const Objective> conversations(int64_t sequence_length) {
  return objective_of("{kind = \"conversation\"}", {sequence_length, 60'000});
}

TEST(Conversation, MakesTheGoldenSequences) {
  const auto golden = testing::read_golden("objectives.json");
  const Json &input = golden.inputs.at("conversation"), &need = golden.outputs.at("conversation");
  Documents documents;
  Marks scored;
  for (const auto& document : input.at("documents").as_array()) {
    const auto ids = integers_of(document), marks = integers_of(input.at("scored").at(documents.size()));
    documents.emplace_back(ids.begin(), ids.end());
    scored.emplace_back(marks.begin(), marks.end());
  }
  const TemporaryFolder folder;
  const auto set = IndexedDataset::open(testing::write_conversations(folder, "talk", documents, scored));
  const int64_t S = input.at("sequence_length").as_int();
  const auto objective = conversations(S);
  const auto stream = TextStream::once(set, 1);
  TextCursor cursor;
  for (size_t row = 0; row < need.size(); ++row) {
    const SequencePlace place{*objective, stream, S};
    const Example sequence = make_sequence(place, draw_examples(place, cursor), false);
    const Batch batch = batch_of({&sequence, 1}, S);
    const auto expect_same = [&](const at::Tensor& got, const char* key) {
      EXPECT_TRUE(got.to(at::kLong).flatten().equal(testing::ids_of(need.at(row).at(key)))) << key << " of row " << row;
    };
    expect_same(batch.tokens, "tokens");
    expect_same(batch.targets, "targets");
    expect_same(batch.document_ids, "document_ids");
  }
  EXPECT_TRUE(draw_examples({*objective, stream, S}, cursor).empty());
}

// Documents of random lengths, of which the first token tells which one it is; some have nothing to score.
struct MadeTalk {
  Documents documents;
  Marks scored;
  std::set<int64_t> usable;  // first tokens of those that have a scored token among the first S + 1, behind the first
};
MadeTalk made_talk(uint64_t seed, int64_t S) {
  RngStream rng(seed, "talk");
  MadeTalk out;
  int32_t token = 0;
  for (int document = 0; document < 40; ++document) {
    const auto length = static_cast<int64_t>(1 + rng.below(static_cast<uint64_t>(2 * S)));
    out.documents.emplace_back();
    out.scored.emplace_back();
    bool is_usable = false;
    for (int64_t i = 0; i < length; ++i) {
      out.documents.back().push_back(token + static_cast<int32_t>(i));
      out.scored.back().push_back(rng.below(5) == 0 ? 1 : 0);
      is_usable = is_usable || (i >= 1 && i <= S && out.scored.back().back() == 1);
    }
    if (is_usable) out.usable.insert(token);
    token += static_cast<int32_t>(length);
  }
  return out;
}

// Whatever the order, and also those that begin behind the last whole block.
TEST(Conversation, EachComesOnceAnEpoch) {
  for (uint64_t seed = 0; seed < 20; ++seed)
    for (const bool shuffle : {false, true}) {
      constexpr int64_t S = 16;
      const TemporaryFolder folder;
      const auto talk = made_talk(seed, S);
      const auto set = IndexedDataset::open(testing::write_conversations(folder, "talk", talk.documents, talk.scored));
      const auto objective = conversations(S);
      const TextStream stream(set, S, {seed, shuffle});
      const int64_t epoch_tokens = stream.n_blocks() * S;
      std::vector<std::multiset<int64_t>> seen(3);
      std::vector<std::vector<int64_t>> order(3);
      TextCursor cursor;
      while (stream.position(cursor) < 3 * epoch_tokens)
        for (const auto& [id, piece] : draw_examples({*objective, stream, S}, cursor)) {
          const int64_t epoch = (piece.end - 1) / epoch_tokens;
          if (epoch >= 3) continue;
          const int64_t first = set.document_start(set.document_of(*piece.in_file));
          EXPECT_EQ(first, *piece.in_file);  // whole
          seen[static_cast<size_t>(epoch)].insert(first);
          order[static_cast<size_t>(epoch)].push_back(first);
        }
      for (const auto& epoch : seen)
        EXPECT_EQ(epoch, std::multiset<int64_t>(talk.usable.begin(), talk.usable.end())) << seed << " " << shuffle;
      EXPECT_EQ(order[0] == order[1], !shuffle);
    }
}

TEST(Conversation, IsCutAtTheSequenceAndScoredWhereMarked) {
  const TemporaryFolder folder;
  const auto set = IndexedDataset::open(testing::write_conversations(
      folder, "talk", {{10, 11, 12, 13, 14, 15, 16}, {20, 21, 22}}, {{1, 0, 1, 0, 1, 1, 1}, {0, 0, 1}}));
  const auto objective = conversations(4);
  EXPECT_TRUE(objective->packs());
  EXPECT_TRUE(objective->needs_masks());
  const auto stream = TextStream::once(set, 1);
  TextCursor cursor;
  const SequencePlace place{*objective, stream, 4};
  const auto first = make_sequence(place, draw_examples(place, cursor), false);
  EXPECT_EQ(first.tokens, (std::vector<int64_t>{10, 11, 12, 13}));
  EXPECT_EQ(first.targets, (std::vector<int64_t>{-1, 12, -1, 14}));  // of 11 .. 14
  const auto second = make_sequence(place, draw_examples(place, cursor), false);
  EXPECT_EQ(second.tokens, (std::vector<int64_t>{20, 21}));
  EXPECT_EQ(second.targets, (std::vector<int64_t>{-1, 22}));
}

// A causal phase may leave the cursor inside of a conversation: that one comes in the next epoch.
TEST(Conversation, GoesOnFromAnyPlaceOfTheText) {
  const TemporaryFolder folder;
  const auto set = IndexedDataset::open(testing::write_conversations(
      folder, "talk", {{10, 11, 12}, {20, 21, 22}, {30, 31, 32}}, {{0, 0, 1}, {0, 0, 1}, {0, 1, 1}}));
  const auto objective = conversations(4);
  const TextStream stream(set, 4, {1, false});  // two blocks: documents at 0 and 3; at 6
  const auto piece = objective->find_text({}, stream, 1);
  ASSERT_TRUE(piece.has_value());
  EXPECT_EQ(piece->in_file, 3);
  EXPECT_EQ(piece->begin, 1);
  EXPECT_EQ(piece->end, 4);  // the rest of the document lies in the next block, which others own
  EXPECT_EQ(objective->find_text({}, stream, 4)->in_file, 6);
  EXPECT_EQ(objective->find_text({}, stream, 7)->in_file, 0);  // of the next epoch
}

// Of 17 tokens 12 are two blocks of 6, of which the last one owns what begins in the other five too: documents of one
// token lie between.
TEST(Conversation, PassesOverThoseOfOneTokenBehindTheLastBlock) {
  const TemporaryFolder folder;
  const auto set = IndexedDataset::open(testing::write_conversations(
      folder, "talk", {{0, 1}, {2, 3, 4, 5, 6, 7}, {8}, {9}, {10, 11}, {12}, {13, 14}, {15, 16}},
      {{0, 1}, {0, 1, 1, 1, 1, 1}, {1}, {1}, {0, 1}, {1}, {0, 1}, {0, 1}}));
  const auto objective = conversations(6);
  const TextStream stream(set, 6, {1, false});
  ASSERT_EQ(stream.n_blocks(), 2);
  std::vector<int64_t> firsts;
  for (int64_t position = 0; position < 12;) {
    const auto piece = objective->find_text({}, stream, position);
    ASSERT_TRUE(piece.has_value());
    ASSERT_GT(piece->end, position);
    position = piece->end;
    if (position <= 12) firsts.push_back(*piece->in_file);
  }
  EXPECT_EQ(firsts, (std::vector<int64_t>{0, 2, 10, 13, 15}));
}

// The first token is only fed, and the last is only asked for.
TEST(Conversation, SaysHowManyItPassesOverAndCuts) {
  const TemporaryFolder folder;
  const auto set = IndexedDataset::open(testing::write_conversations(
      folder, "talk", {{1, 2, 3}, {4, 5, 6, 7, 8}, {1, 2, 3, 4, 5, 6}, {1, 2, 3, 4, 5, 6}, {9}, {7, 8}},
      {{0, 1, 1}, {0, 0, 0, 0, 1}, {0, 0, 0, 0, 0, 1}, {0, 1, 0, 0, 0, 1}, {1}, {1, 0}}));
  EXPECT_THAT(conversations(4)->warning_of_set(set),
              HasSubstr("talk: 3 of 6 conversations have no scored token within 4 tokens and are passed over, 1 of 6 "
                        "conversations are cut behind 4 tokens (train.sequence_length)"));
  EXPECT_THAT(conversations(5)->warning_of_set(set),
              HasSubstr("talk: 2 of 6 conversations have no scored token within 5 tokens and are passed over (train."));
  const auto whole = IndexedDataset::open(testing::write_conversations(folder, "whole", {{1, 2, 3}}, {{0, 1, 1}}));
  EXPECT_EQ(conversations(4)->warning_of_set(whole), "");
}

TEST(Conversation, RefusesSetsThatSayNothingOfAnswers) {
  const TemporaryFolder folder;
  const auto plain = IndexedDataset::open(testing::write_documents(folder, "plain", {{1, 2, 3}}));
  EXPECT_THAT(message_of<DataError>([&] { conversations(4)->check_set(plain, "r.toml:3"); }),
              HasSubstr("need one that 'evenkeel prepare --messages' made"));
  const auto silent = IndexedDataset::open(
      testing::write_conversations(folder, "silent", {{1, 2, 3, 4, 5, 6}, {7, 8}}, {{1, 0, 0, 0, 0, 1}, {1, 0}}));
  EXPECT_THAT(message_of<DataError>([&] { conversations(4)->check_set(silent, "r.toml:3"); }),
              HasSubstr("silent with 2 conversations, and in none of them a scored token"));
  EXPECT_NO_THROW(conversations(5)->check_set(silent, "r.toml:3"));
  folder.write("silent.scored", std::string("\1\0\0\1\0\1\1\0", 8));
  EXPECT_THAT(
      message_of<DataError>([&] { conversations(5)->check_set(IndexedDataset::open(folder / "silent"), "r.toml:3"); }),
      HasSubstr("silent.scored: got SHA-256"));
}

}  // namespace
}  // namespace evenkeel::data
