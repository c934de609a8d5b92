#include "data/tokenizers/post_processors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TextFrame frame(const std::string& json) { return read_post_processor(Json::parse(json, "test")); }

const std::string kTemplate =
    R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}}], "special_tokens": {"<s>": {"ids": [1]}, "</s>": {"ids": [2, 3]}}})";

TEST(PostProcessors, PutIdsAroundAText) {
  EXPECT_THAT(frame(kTemplate).before, ElementsAre(1));
  EXPECT_THAT(frame(kTemplate).after, ElementsAre(2, 3));
  EXPECT_THAT(frame("null").before, ElementsAre());
  EXPECT_THAT(frame(R"({"type": "ByteLevel"})").after, ElementsAre());
  EXPECT_THAT(frame(R"({"type": "RobertaProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2]})").after, ElementsAre(2));
  const TextFrame twice =
      frame(R"({"type": "Sequence", "processors": [{"type": "BertProcessing", "cls": ["a", 8], "sep": ["b", 9]}, )" +
            kTemplate + "]}");
  EXPECT_THAT(twice.before, ElementsAre(1, 8));
  EXPECT_THAT(twice.after, ElementsAre(9, 2, 3));
}

TEST(PostProcessors, RefuseWhatTheyLack) {
  const auto refused = [](const std::string& json) { return message_of<DataError>([&] { frame(json); }); };
  EXPECT_THAT(refused(R"({"type": "Other"})"),
              HasSubstr("got \"Other\", which evenkeel lacks; need one of: TemplateProcessing"));
  EXPECT_THAT(refused(R"({"type": "TemplateProcessing", "single": [], "special_tokens": {}})"),
              HasSubstr("a template without the text"));
  EXPECT_THAT(
      refused(R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}], "special_tokens": {}})"),
      HasSubstr("got \"x\"; need a name of special_tokens"));
}

}  // namespace
}  // namespace evenkeel::data
