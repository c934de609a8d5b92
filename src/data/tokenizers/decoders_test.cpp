#include "data/tokenizers/decoders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

std::string decoded(const std::string& json, std::vector<std::string> tokens) {
  std::string out;
  for (const auto& part : read_decoder(Json::parse(json, "test"))->apply(std::move(tokens))) out += part;
  return out;
}

TEST(Decoders, GiveText) {
  EXPECT_EQ(decoded(R"({"type": "ByteLevel"})", {"\u0120a", "\u00c3", "\u00a9", "\u4e00"}), " a\u00e9\u4e00");
  EXPECT_EQ(
      decoded(R"({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"})", {"\u2581a", "\u2581b"}),
      "a b");
  EXPECT_EQ(decoded(R"({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "never"})", {"\u2581a"}), " a");
  EXPECT_EQ(decoded(R"({"type": "ByteFallback"})", {"a", "<0xC3>", "<0xA9>", "<0xFF>"}), "a\ufffd\ufffd\ufffd");
  EXPECT_EQ(decoded(R"({"type": "ByteFallback"})", {"<0xC3>", "<0xA9>", "b"}), "\u00e9b");
  EXPECT_EQ(decoded(R"({"type": "Strip", "content": " ", "start": 1, "stop": 0})", {"  a "}), " a ");
  EXPECT_EQ(decoded(R"({"type": "BPEDecoder", "suffix": "</w>"})", {"a</w>", "b", "c</w>"}), "a bc");
  EXPECT_EQ(
      decoded(
          R"({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "Fuse"},
                        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})",
          {"\u2581a", "\u2581b"}),
      "a b");
}

// The Unicode Standard, table 3-8 and those around it.
TEST(Decoders, RepairUtf8) {
  EXPECT_EQ(repaired_utf8("a\xF1\x80\x80\xE1\x80\xC2"
                          "b\x80"
                          "c\x80\xBF"
                          "d"),
            "a\ufffd\ufffd\ufffdb\ufffdc\ufffd\ufffdd");
  EXPECT_EQ(repaired_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82"
                          "A"),
            "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdA");
  EXPECT_EQ(repaired_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
                          "A"),
            "\ufffd\ufffd\ufffd\ufffdA");
  EXPECT_EQ(repaired_utf8("\xED\xA0\x80"), "\ufffd\ufffd\ufffd");
  EXPECT_EQ(repaired_utf8("\u00e9"), "\u00e9");
}

TEST(Decoders, NameWhatTheyLack) {
  EXPECT_EQ(read_decoder(Json()), nullptr);
  EXPECT_THAT(message_of<DataError>([] { decoded(R"({"type": "CTC"})", {}); }),
              HasSubstr("got \"CTC\", which evenkeel lacks"));
  EXPECT_THAT(message_of<DataError>([] { decoded(R"({"type": "Strip", "content": "", "start": 1, "stop": 0})", {}); }),
              HasSubstr("need one character"));
}

}  // namespace
}  // namespace evenkeel::data
