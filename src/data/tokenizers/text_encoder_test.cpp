#include "data/tokenizers/text_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"
#include "data/tokenizers/bpe.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TextEncoder encoder(const std::string& normalizer, const std::string& added) {
  TextSteps steps;
  steps.normalizer = read_normalizer(Json::parse(normalizer, "test"));
  steps.pre_tokenizers = PreTokenizers(
      Json::parse(R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": true})", "test"),
      false);
  steps.model = std::make_unique<Bpe>(
      read_bpe(Json::parse(R"({"vocab": {"a": 0, "_": 1, "_a": 2, "A": 3}, "merges": ["_ a"]})", "test")));
  steps.added = read_added_tokens(Json::parse(added, "test"));
  return TextEncoder(std::move(steps));
}

TEST(TextEncoder, FindsAddedTokensBeforeAndAfterNormalization) {
  const auto lower =
      encoder(R"({"type": "Lowercase"})",
              R"([{"id": 4, "content": "AA", "normalized": true}, {"id": 5, "content": "Aa", "normalized": false}])");
  EXPECT_THAT(lower.encode("aaAAAaA"), ElementsAre(4, 4, 5, 0));  // "aaAA" holds the normalized token twice
  EXPECT_THAT(lower.encode("a a"), ElementsAre(2, 2));
  EXPECT_THAT(lower.encode(""), ElementsAre());
}

TEST(TextEncoder, PrependsAtTheStartOfTheTextAlone) {
  const auto strip = encoder(R"({"type": "Strip", "strip_left": true, "strip_right": true})",
                             R"([{"id": 4, "content": "<m>", "normalized": false}])");
  EXPECT_THAT(strip.encode("a<m>a"), ElementsAre(2, 4, 0));
  EXPECT_THAT(strip.encode(" a"), ElementsAre(0));  // the first character is gone
}

TEST(TextEncoder, RefusesWhatItCannotFindOrRead) {
  EXPECT_THAT(message_of<DataError>(
                  [] { encoder(R"({"type": "Strip"})", R"([{"id": 4, "content": " ", "normalized": true}])"); }),
              HasSubstr("added token \" \": got nothing after its normalization"));
  const auto lower = encoder(R"({"type": "Lowercase"})", "[]");
  EXPECT_THAT(message_of<DataError>([&] { lower.encode("ab\xff"); }), HasSubstr("at byte 3, which is no UTF-8"));
}

TEST(TextEncoder, TakesSpecialTokensForTextWhereItIsAskedTo) {
  const auto steps = encoder(R"({"type": "Lowercase"})",
                             R"([{"id": 4, "content": "Aa", "normalized": false, "special": true},
                                 {"id": 5, "content": "aA", "normalized": false, "special": false},
                                 {"id": 6, "content": "aaa", "normalized": true, "special": true}])");
  EXPECT_THAT(steps.encode("Aa"), ElementsAre(4));
  EXPECT_THAT(steps.encode("Aa", {.finds_special = false}), ElementsAre(2, 0));
  EXPECT_THAT(steps.encode("Aa", {.finds_special = false, .starts_text = false}), ElementsAre(0, 0));
  EXPECT_THAT(steps.encode("aA", {.finds_special = false}), ElementsAre(5));  // added, but no special one
  EXPECT_THAT(steps.encode("AAA"), ElementsAre(6));
  EXPECT_THAT(steps.encode("AAA", {.finds_special = false}), ElementsAre(2, 0, 0));
}

}  // namespace
}  // namespace evenkeel::data
