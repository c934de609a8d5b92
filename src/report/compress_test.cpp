#include "report/compress.h"

#include <gtest/gtest.h>

#include "report/test_support.h"

namespace evenkeel::report {
namespace {

TEST(Base64, TestVectors) {  // RFC 4648, section 10
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64(std::string("\xff\xfe\x00", 3)), "//4A");
}

TEST(GzipBase64, ReadsBackAndIsShort) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "line " + std::to_string(i % 7) + "\n";
  const auto packed = gzip_base64(text);
  EXPECT_LT(packed.size(), text.size() / 50);
  EXPECT_EQ(testing::unpacked(packed), text);
  EXPECT_EQ(gzip_base64(text), packed);
  EXPECT_EQ(testing::unpacked(gzip_base64("")), "");
  EXPECT_EQ(unpack_gzip_base64(packed, text.size()), text);
  EXPECT_EQ(unpack_gzip_base64(gzip_base64(""), 0), "");
}

TEST(GzipBase64, UnpacksNothingElse) {
  const auto packed = gzip_base64(std::string(5000, 'x'));
  EXPECT_EQ(unpack_gzip_base64(packed, 4999), std::nullopt);
  EXPECT_EQ(unpack_gzip_base64(packed.substr(0, packed.size() / 2), 5000), std::nullopt);
  EXPECT_EQ(unpack_gzip_base64("<" + packed, 5000), std::nullopt);
  EXPECT_EQ(unpack_gzip_base64("", 5000), std::nullopt);
  EXPECT_EQ(unpack_gzip_base64(base64("no gzip"), 5000), std::nullopt);
}

}  // namespace
}  // namespace evenkeel::report
