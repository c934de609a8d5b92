#include "data/tokenizers/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int32_t> encoded(const std::string& model, const std::string& piece, bool is_byte_level = false) {
  BpeSpec spec = read_bpe(Json::parse(model, "test"));
  spec.is_byte_level = is_byte_level;
  Workspace workspace;
  std::vector<int32_t> ids;
  const Bpe bpe(std::move(spec));
  bpe.encode(piece, workspace, ids);
  std::vector<int32_t> again;
  bpe.encode(piece, workspace, again);  // out of the cache
  EXPECT_EQ(again, ids);
  return ids;
}

TEST(Bpe, MergesByRankFromTheLeft) {
  const std::string model =
      R"({"vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5}, "merges": ["b c", "a b", "a bc"]})";
  EXPECT_THAT(encoded(model, "abc"), ElementsAre(5));  // b c, then a bc
  EXPECT_THAT(encoded(model, "abab"), ElementsAre(3, 3));
  EXPECT_THAT(encoded(model, "aabcb"), ElementsAre(0, 5, 1));
  const std::string pairs = R"({"vocab": {"a": 0, "aa": 1}, "merges": [["a", "a"]]})";
  EXPECT_THAT(encoded(pairs, "aaaaa"), ElementsAre(1, 1, 0));
}

TEST(Bpe, TakesWholeWordsWhereMergesAreIgnored) {
  const std::string model = R"({"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [], "ignore_merges": )";
  EXPECT_THAT(encoded(model + "true}", "ab"), ElementsAre(2));
  EXPECT_THAT(encoded(model + "false}", "ab"), ElementsAre(0, 1));
}

TEST(Bpe, HandlesWhatTheVocabularyLacks) {
  const std::string start = R"({"vocab": {"<unk>": 0, "a": 1, "<0xC3>": 2, "<0xA9>": 3}, "merges": [])";
  EXPECT_THAT(encoded(start + "}", "xax"), ElementsAre(1));  // dropped
  EXPECT_THAT(encoded(start + R"(, "unk_token": "<unk>"})", "xxa"), ElementsAre(0, 0, 1));
  EXPECT_THAT(encoded(start + R"(, "unk_token": "<unk>", "fuse_unk": true})", "xxax"), ElementsAre(0, 1, 0));
  EXPECT_THAT(encoded(start + R"(, "byte_fallback": true})", "a\u00e9"), ElementsAre(1, 2, 3));
  EXPECT_THAT(message_of<DataError>([&] { encoded(start + R"(, "unk_token": "none"})", "x"); }),
              HasSubstr("it lacks the unknown token \"none\" too"));
}

TEST(Bpe, MarksTheInsideAndTheEndOfWords) {
  EXPECT_THAT(
      encoded(R"({"vocab": {"a": 0, "##b": 1, "ab": 2}, "merges": ["a ##b"], "continuing_subword_prefix": "##"})",
              "ab"),
      ElementsAre(2));
  EXPECT_THAT(
      encoded(R"({"vocab": {"a": 0, "b</w>": 1, "ab</w>": 2}, "merges": ["a b</w>"], "end_of_word_suffix": "</w>"})",
              "ab"),
      ElementsAre(2));
}

TEST(Bpe, TakesBytesOfAByteLevelVocabulary) {
  const std::string model =
      R"({"vocab": {"a": 0, "\u0120": 1, "\u0120a": 2, "\u00c3": 3, "\u00a9": 4}, "merges": ["\u0120 a"]})";
  EXPECT_THAT(encoded(model, " a\u00e9", true), ElementsAre(2, 3, 4));
}

TEST(Bpe, CutsAtSpacesOfSentencePiece) {
  const std::string model =
      "{\"vocab\": {\"\u2581\": 0, \"a\": 1, \"\u2581a\": 2, \"\u2581\u2581\": 3}, \"merges\": "
      "[\"\u2581 \u2581\", \"\u2581 a\"]}";
  EXPECT_THAT(encoded(model, "\u2581a\u2581\u2581\u2581a\u2581"), ElementsAre(2, 3, 2, 0));
}

TEST(Bpe, IsLinearInTheLengthOfAWord) {
  EXPECT_EQ(encoded(R"({"vocab": {"a": 0, "aa": 1}, "merges": ["a a"]})", std::string(2'000'000, 'a')).size(),
            1'000'000U);
}

TEST(Bpe, RefusesWhatItLacks) {
  const auto refused = [](const std::string& model) {
    return message_of<DataError>([&] { read_bpe(Json::parse(model, "test")); });
  };
  EXPECT_THAT(refused(R"({"vocab": {}, "merges": [], "dropout": 0.1})"),
              HasSubstr("got dropout 0.1, which evenkeel lacks"));
  EXPECT_THAT(refused(R"({"vocab": {"a": 0}, "merges": ["a b"]})"),
              HasSubstr("got a merge with \"b\"; need tokens of the vocabulary"));
  EXPECT_THAT(refused(R"({"vocab": {"a": 0}, "merges": ["a a"]})"), HasSubstr("got a merge with \"aa\""));
  EXPECT_THAT(refused(R"({"vocab": {"a": 0}, "merges": ["a  a"]})"),
              HasSubstr("need two tokens with one space between"));
  EXPECT_THAT(refused(R"({"vocab": {"a": 4000000000}, "merges": []})"),
              HasSubstr("got \"4000000000\" for \"a\"; need an id from 0 to"));
}

}  // namespace
}  // namespace evenkeel::data
