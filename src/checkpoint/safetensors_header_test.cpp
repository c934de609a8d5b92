#include "checkpoint/safetensors_header.h"

#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"

namespace evenkeel::checkpoint {
namespace {

TEST(SafetensorsHeader, ReadsTensorsInTheOrderOfTheText) {
  const auto header = parse_safetensors_header(
      R"({"b":{"shape":[2,3],"data_offsets":[4,16],"dtype":"BF16"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})",
      "file", 16);
  ASSERT_EQ(header.tensors.size(), 2u);
  EXPECT_EQ(header.tensors[0].name, "b");
  EXPECT_EQ(header.tensors[0].dtype, at::kBFloat16);
  EXPECT_EQ(header.tensors[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(header.tensors[0].begin, 4u);
  EXPECT_EQ(header.tensors[1].end, 4u);
  EXPECT_TRUE(header.tensors[1].shape.empty());
}

TEST(SafetensorsHeader, AnErrorStartsWithTheGivenPlace) {
  try {
    parse_safetensors_header(R"({"w":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}})", "x/y.safetensors", 4);
    ADD_FAILURE() << "accepted a boolean as a dim";
  } catch (const CheckpointError& error) {
    EXPECT_STREQ(error.what(), "x/y.safetensors: tensor 'w': 'shape': got true; need a list of whole numbers from 0");
  }
}

TEST(SafetensorsHeader, ANumberBeyondADoubleIsNamedWithItsPlace) {
  const auto message = [](const std::string& text) {
    return testing::message_of<CheckpointError>([&] { parse_safetensors_header(text, "x.safetensors", 4); });
  };
  EXPECT_EQ(message(R"({"w":{"dtype":"F32","shape":[1e400],"data_offsets":[0,4]}})"),
            "x.safetensors: tensor 'w': 'shape': got 1e400; need a list of whole numbers from 0");
  EXPECT_EQ(
      message(R"({"w":{"dtype":-1e400}})"),
      "x.safetensors: tensor 'w': 'dtype': got -1e400; need one of F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL F8_E4M3 "
      "F8_E8M0");
  EXPECT_EQ(message(R"({"__metadata__":{"a":1e999}})"), "x.safetensors: metadata 'a': got 1e999; need a string");
  EXPECT_EQ(message("1e400"), "x.safetensors: header: got 1e400; need an object");
}

TEST(SafetensorsHeader, WrittenTextReadsBackAndIsPadded) {
  SafetensorsHeader header;
  header.metadata = {{"note", "\"x\""}};
  header.tensors = {{"w", at::kInt, {2, 3}, 0, 24}, {"flag", at::kBool, {5}, 24, 29}};
  for (const size_t least_bytes : {size_t{0}, size_t{512}}) {
    const std::string text = safetensors_header_text(header, least_bytes);
    EXPECT_EQ(text.size() % 8, 0u);
    EXPECT_GE(text.size(), least_bytes);
    const auto read = parse_safetensors_header(text, "x", 29);
    EXPECT_EQ(read.metadata, header.metadata);
    ASSERT_EQ(read.tensors.size(), 2u);
    EXPECT_EQ(read.tensors[1].shape, (std::vector<int64_t>{5}));
    EXPECT_EQ(read.tensors[1].end, 29u);
  }
}

TEST(SafetensorsHeader, NamesOfDtypes) {
  EXPECT_STREQ(dtype_name(at::kBFloat16), "BF16");
  EXPECT_STREQ(dtype_name(at::kBool), "BOOL");
  EXPECT_EQ(dtype_name(at::kComplexFloat), nullptr);
}

TEST(SafetensorsHeader, ShownNamesArePrintableAndShort) {
  EXPECT_EQ(shown_name("layers.0"), "'layers.0'");
  EXPECT_EQ(shown_name(std::string_view("a\0\n\x7f", 4)), "'a\?\?\?'");
  EXPECT_EQ(shown_name(std::string(121, 'x')), "'" + std::string(120, 'x') + "...'");
  EXPECT_EQ(shown_name(std::string(119, 'x') + "\xc3\xa9"), "'" + std::string(119, 'x') + "...'");
}

TEST(SafetensorsHeader, PlainFileNamesStayInTheirFolder) {
  EXPECT_TRUE(is_plain_file_name("model-00001-of-00002.safetensors"));
  for (const std::string_view name : {"", ".", "..", "../x", "a/b", "/etc/passwd", "a..b"})
    EXPECT_FALSE(is_plain_file_name(name)) << name;
  EXPECT_FALSE(is_plain_file_name(std::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace evenkeel::checkpoint
