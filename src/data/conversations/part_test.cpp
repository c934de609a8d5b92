#include "data/conversations/part.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "data/utf8.h"

namespace evenkeel::data {
namespace {

TEST(Part, IsTheSameAfterPacking) {
  const std::vector<Part> parts = {{Part::Kind::control, "<|im_start|>", false},
                                   {Part::Kind::text, "", false},
                                   {Part::Kind::text, "\xf4\x8f\xbf\xbf \xc3\xbf\r\n\x01", true},  // U+10FFFF
                                   {Part::Kind::control, "<|im_end|>", true},
                                   {Part::Kind::end_of_document, "", true},
                                   {Part::Kind::end_of_document, "", false}};
  EXPECT_EQ(unpacked(packed(parts)), parts);
  EXPECT_EQ(unpacked("").size(), 0u);
  EXPECT_EQ(valid_utf8_bytes(packed(parts)), 0u);  // its marks are no text
  EXPECT_THROW(unpacked("text"), std::logic_error);
}

}  // namespace
}  // namespace evenkeel::data
