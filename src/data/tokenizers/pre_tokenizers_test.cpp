#include "data/tokenizers/pre_tokenizers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"
#include "data/tokenizers/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> pieces(const std::string& json, const std::string& text, bool leaves_bytes = false,
                                bool starts_text = true) {
  RegexWorkspace workspace;
  Pieces out;
  PreTokenizers(Json::parse(json, "test"), leaves_bytes).split({text, starts_text}, workspace, out);
  return out.all;
}

TEST(PreTokenizers, ByteLevelCutsAndMaps) {
  const std::string json = R"({"type": "ByteLevel", "add_prefix_space": true})";
  EXPECT_THAT(pieces(json, "Hi you\u00e9"), ElementsAre("\u0120Hi", "\u0120you\u00c3\u00a9"));
  EXPECT_THAT(pieces(json, "Hi you\u00e9", true), ElementsAre(" Hi", " you\u00e9"));  // for a model that takes bytes
  EXPECT_THAT(pieces(R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})", "a b"),
              ElementsAre("a\u0120b"));
}

TEST(PreTokenizers, MetaspacePrependsByItsScheme) {
  const auto json = [](const std::string& scheme) {
    return R"({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": ")" + scheme + R"(", "split": true})";
  };
  EXPECT_THAT(pieces(json("always"), "a  b"), ElementsAre("\u2581a", "\u2581", "\u2581b"));
  EXPECT_THAT(pieces(json("first"), "a", false, true), ElementsAre("\u2581a"));
  EXPECT_THAT(pieces(json("first"), "a", false, false), ElementsAre("a"));
  EXPECT_THAT(pieces(json("never"), "a b"), ElementsAre("a", "\u2581b"));
  EXPECT_THAT(pieces(json("always"), " a"), ElementsAre("\u2581a"));  // it begins with one already
}

TEST(PreTokenizers, CutAtCharactersOfAKind) {
  EXPECT_THAT(pieces(R"({"type": "Digits", "individual_digits": true})", "a12"), ElementsAre("a", "1", "2"));
  EXPECT_THAT(pieces(R"({"type": "Digits", "individual_digits": false})", "a12b"), ElementsAre("a", "12", "b"));
  EXPECT_THAT(pieces(R"({"type": "Punctuation"})", "a,b!?"), ElementsAre("a", ",", "b", "!", "?"));
  EXPECT_THAT(pieces(R"({"type": "Whitespace"})", "Hey, you  there"), ElementsAre("Hey", ",", "you", "there"));
  EXPECT_THAT(pieces(R"({"type": "WhitespaceSplit"})", " a,b\tc"), ElementsAre("a,b", "c"));
  EXPECT_THAT(pieces(R"({"type": "CharDelimiterSplit", "delimiter": "_"})", "a_b__c"), ElementsAre("a", "b", "c"));
}

TEST(PreTokenizers, SplitAndSequence) {
  EXPECT_THAT(
      pieces(R"({"type": "Split", "pattern": {"Regex": "\\d+"}, "behavior": "Removed", "invert": true})", "a12b3"),
      ElementsAre("12", "3"));
  EXPECT_THAT(
      pieces(
          R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"String": "."}, "behavior": "Isolated"},
                        {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}]}]})",
          "a.b c"),
      ElementsAre("a", ".", "b", "c"));
  EXPECT_THAT(pieces("null", "a b"), ElementsAre("a b"));
}

TEST(PreTokenizers, NameWhatTheyLack) {
  const auto refused = [](const std::string& json) { return message_of<DataError>([&] { pieces(json, "a"); }); };
  EXPECT_THAT(refused(R"({"type": "UnicodeScripts"})"),
              HasSubstr("got \"UnicodeScripts\", which evenkeel lacks; need one of: Split"));
  EXPECT_THAT(refused(R"({"type": "Metaspace", "replacement": "ab"})"), HasSubstr("got \"ab\"; need one character"));
  EXPECT_THAT(refused(R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "last"})"),
              HasSubstr("need one of: always"));
  EXPECT_THAT(refused(R"({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"})"),
              HasSubstr("groups without an end"));
  EXPECT_THAT(refused(R"({"type": "Split", "pattern": 1, "behavior": "Isolated"})"),
              HasSubstr("got a pattern of another kind"));
}

}  // namespace
}  // namespace evenkeel::data
