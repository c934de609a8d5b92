#include "data/tokenizers/unigram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int32_t> encoded(const std::string& model, const std::string& piece) {
  Workspace workspace;
  std::vector<int32_t> ids;
  Unigram(read_unigram(Json::parse(model, "test"))).encode(piece, workspace, ids);
  return ids;
}

TEST(Unigram, TakesThePathOfTheBestScore) {
  const std::string model = R"({"vocab": [["<unk>", 0], ["a", -1], ["b", -1], ["ab", -1.5], ["ba", -3]], "unk_id": 0})";
  EXPECT_THAT(encoded(model, "ab"), ElementsAre(3));      // -1.5 against -2
  EXPECT_THAT(encoded(model, "aba"), ElementsAre(3, 1));  // -2.5 against -4
  EXPECT_THAT(encoded(model, "ba"), ElementsAre(2, 1));   // -2 against -3
}

TEST(Unigram, FusesUnknownCharacters) {
  const std::string model = R"({"vocab": [["<unk>", 0], ["a", -1]], "unk_id": 0})";
  EXPECT_THAT(encoded(model, "xyzax"), ElementsAre(0, 1, 0));
  EXPECT_THAT(message_of<DataError>([] { encoded(R"({"vocab": [["a", -1]]})", "x"); }),
              HasSubstr("names no unknown token"));
}

TEST(Unigram, FallsBackToBytes) {
  const std::string model =
      R"({"vocab": [["<unk>", 0], ["a", -1], ["<0xC3>", -9], ["<0xA9>", -9]], "unk_id": 0, "byte_fallback": true})";
  EXPECT_THAT(encoded(model, "a\u00e9"), ElementsAre(1, 2, 3));
  EXPECT_THAT(encoded(model, "\u00e9\u00e8"), ElementsAre(0));  // one run, of which a byte has no token
}

TEST(Unigram, RefusesWhatItLacks) {
  const auto refused = [](const std::string& model) {
    return message_of<DataError>([&] { read_unigram(Json::parse(model, "test")); });
  };
  EXPECT_THAT(refused(R"({"vocab": []})"), HasSubstr("got no token"));
  EXPECT_THAT(refused(R"({"vocab": [["a", -1]], "unk_id": 1})"), HasSubstr("got 1; need an id from 0 to 0"));
}

}  // namespace
}  // namespace evenkeel::data
