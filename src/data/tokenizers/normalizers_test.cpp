#include "data/tokenizers/normalizers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

struct Normalized {
  std::string text;
  bool takes_start;
  bool operator==(const Normalized&) const = default;
};

Normalized normalized(const std::string& json, std::string text) {
  RegexWorkspace workspace;
  const bool takes_start = read_normalizer(Json::parse(json, "test"))->apply(text, workspace);
  return {text, takes_start};
}

TEST(Normalizers, ChangeText) {
  EXPECT_EQ(normalized(R"({"type": "NFC"})", "e\u0301").text, "\u00e9");
  EXPECT_EQ(normalized(R"({"type": "NFKD"})", "\ufb01").text, "fi");
  EXPECT_EQ(normalized(R"({"type": "Prepend", "prepend": "_"})", "a").text, "_a");
  EXPECT_EQ(normalized(R"({"type": "Prepend", "prepend": "_"})", "").text, "");
  EXPECT_EQ(normalized(R"({"type": "Replace", "pattern": {"String": " "}, "content": "_"})", "a b ").text, "a_b_");
  EXPECT_EQ(normalized(R"({"type": "Replace", "pattern": {"Regex": "\\d+"}, "content": "0"})", "a12b3").text, "a0b0");
  EXPECT_EQ(normalized(R"({"type": "Lowercase"})", "AÉİ").text, "aéi\u0307");
  EXPECT_EQ(normalized(R"({"type": "ByteLevel"})", " é").text, "\u0120\u00c3\u00a9");
  EXPECT_EQ(
      normalized(R"({"type": "Sequence", "normalizers": [{"type": "Lowercase"}, {"type": "Prepend", "prepend": "A"}]})",
                 "B")
          .text,
      "Ab");
}

TEST(Normalizers, SayWhetherTheyTakeTheStart) {
  EXPECT_EQ(normalized(R"({"type": "Strip", "strip_left": true, "strip_right": true})", "\u3000 a \n"),
            (Normalized{"a", true}));
  EXPECT_EQ(normalized(R"({"type": "Strip", "strip_left": true, "strip_right": false})", "a "),
            (Normalized{"a ", false}));
  EXPECT_EQ(normalized(R"({"type": "Replace", "pattern": {"String": "a"}, "content": ""})", "ab"),
            (Normalized{"b", true}));
  EXPECT_EQ(normalized(R"({"type": "Replace", "pattern": {"String": "b"}, "content": ""})", "ab"),
            (Normalized{"a", false}));
  EXPECT_EQ(normalized(R"({"type": "Replace", "pattern": {"Regex": "a+"}, "content": "x"})", "ab"),
            (Normalized{"xb", false}));
  EXPECT_EQ(normalized(R"({"type": "Replace", "pattern": {"Regex": "a+"}, "content": "x"})", "aab"),
            (Normalized{"xb", true}));
}

TEST(Normalizers, NameWhatTheyLack) {
  EXPECT_THAT(message_of<DataError>([] { normalized(R"({"type": "Nmt"})", ""); }),
              HasSubstr("got \"Nmt\", which evenkeel lacks; need one of: NFC, NFD"));
}

}  // namespace
}  // namespace evenkeel::data
