#include "core/protobuf.h"

#include <gtest/gtest.h>

namespace evenkeel {
namespace {

using namespace std::string_literals;

TEST(Protobuf, ReadsEveryKindOfField) {
  // The message of the format's own documentation, field 1 = 150; then a text, 4 bytes and 8 bytes.
  const std::string message = "\x08\x96\x01\x12\x02hi\x1d\x01\x02\x03\x04\x21\x08\x07\x06\x05\x04\x03\x02\x01"s;
  const auto fields = proto_fields(message);
  ASSERT_TRUE(fields);
  ASSERT_EQ(fields->size(), 4U);
  EXPECT_EQ((*fields)[0].number, 1U);
  EXPECT_EQ((*fields)[0].value, 150U);
  EXPECT_EQ((*fields)[1].bytes, "hi");
  EXPECT_EQ((*fields)[2].value, 0x04030201U);
  EXPECT_EQ((*fields)[3].value, 0x0102030405060708U);
}

TEST(Protobuf, ReadsWhatItWrites) {
  std::string message;
  for (const uint64_t value : {uint64_t{0}, uint64_t{127}, uint64_t{128}, ~uint64_t{0}}) {
    put_varint(message, 3 << 3);
    put_varint(message, value);
  }
  put_varint(message, 4 << 3 | 5);
  put_fixed32(message, 0xdeadbeef);
  put_varint(message, 5 << 3 | 1);
  put_fixed64(message, 0x0123456789abcdef);
  put_bytes(message, 200, std::string(300, 'x'));
  const auto fields = proto_fields(message);
  ASSERT_TRUE(fields);
  ASSERT_EQ(fields->size(), 7U);
  EXPECT_EQ((*fields)[3].value, ~uint64_t{0});
  EXPECT_EQ((*fields)[4].value, 0xdeadbeefU);
  EXPECT_EQ((*fields)[5].value, 0x0123456789abcdefU);
  EXPECT_EQ((*fields)[6].number, 200U);
  EXPECT_EQ((*fields)[6].bytes, std::string(300, 'x'));
}

TEST(Protobuf, GivesNothingForDamage) {
  for (const std::string& message : {"\x80"s, "\x08"s, "\x12\x03hi"s, "\x1d\x01"s, "\x21\x01"s, "\x0b"s,
                                     std::string(11, '\xff'), "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s})
    EXPECT_FALSE(proto_fields(message)) << message.size();
  EXPECT_TRUE(proto_fields("")->empty());
}

}  // namespace
}  // namespace evenkeel
