#include "data/tokenizers/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

AddedToken token(int32_t id) {
  AddedToken out;
  out.id = id;
  return out;
}

// Each part of the text, a token as its id in brackets.
std::vector<std::string> parts(const TokenFinder& finder, const std::string& text) {
  std::vector<std::string> out;
  TokenFinder::Progress progress;
  while (const auto part = finder.next(text, progress))
    out.push_back((part->id ? "[" + std::to_string(*part->id) + "]" : "") +
                  text.substr(part->span.begin, part->span.end - part->span.begin));
  return out;
}

TEST(TokenFinder, FindsTheLongestFromTheLeft) {
  TokenFinder finder;
  finder.add("ab", token(1));
  finder.add("abc", token(2));
  finder.add("cd", token(3));
  finder.add("abc", token(4));  // the same again
  EXPECT_THAT(parts(finder, "xabcdab"), ElementsAre("x", "[2]abc", "d", "[1]ab"));
  EXPECT_THAT(parts(TokenFinder(), "ab"), ElementsAre("ab"));
  EXPECT_THAT(parts(finder, ""), ElementsAre());
}

TEST(TokenFinder, TakesSpaces) {
  TokenFinder finder;
  AddedToken both = token(1);
  both.takes_space_left = both.takes_space_right = true;
  finder.add("<m>", both);
  EXPECT_THAT(parts(finder, "a <m>\n <m> b"), ElementsAre("a", "[1] <m>\n ", "[1]<m> ", "b"));
  TokenFinder lines;
  lines.add("\n\n", both);
  EXPECT_THAT(parts(lines, "a\n\n\n\nb"), ElementsAre("a", "[1]\n\n\n\n", "b"));  // the first has taken the second
}

TEST(TokenFinder, FindsSingleWords) {
  TokenFinder finder;
  AddedToken word = token(1);
  word.is_single_word = true;
  finder.add("the", word);
  EXPECT_THAT(parts(finder, "the then,the"), ElementsAre("[1]the", " then,", "[1]the"));
}

TEST(AddedTokens, AreRead) {
  const auto tokens = read_added_tokens(Json::parse(
      R"([{"id": 7, "content": "<s>", "special": true, "normalized": false, "lstrip": true}, {"id": 8, "content": "x"}])",
      "test"));
  ASSERT_EQ(tokens.size(), 2U);
  EXPECT_TRUE(tokens[0].id == 7 && tokens[0].is_special && !tokens[0].is_normalized && tokens[0].takes_space_left);
  EXPECT_TRUE(!tokens[1].is_special && tokens[1].is_normalized && !tokens[1].takes_space_right);
  EXPECT_THAT(message_of<DataError>([] { read_added_tokens(Json::parse(R"([{"id": -1, "content": "a"}])", "test")); }),
              HasSubstr("got -1; need an id"));
  EXPECT_THAT(message_of<DataError>([] {
                read_added_tokens(Json::parse(R"([{"id": 1, "content": ")" + std::string(2000, 'a') + "\"}]", "test"));
              }),
              HasSubstr("got a token of 2000 bytes; need at most 1024"));
}

}  // namespace
}  // namespace evenkeel::data
