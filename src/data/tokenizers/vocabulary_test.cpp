#include "data/tokenizers/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

TEST(Vocabulary, FindsTokensAndIds) {
  const Vocabulary vocabulary(Json::parse(R"({"a": 0, "b": 5})", "test"));
  EXPECT_EQ(vocabulary.id_of("b"), 5);
  EXPECT_EQ(vocabulary.id_of("c"), std::nullopt);
  EXPECT_EQ(*vocabulary.token(5), "b");
  EXPECT_EQ(vocabulary.token(3), nullptr);
  EXPECT_EQ(vocabulary.token(6), nullptr);
  EXPECT_EQ(vocabulary.token(-1), nullptr);
  EXPECT_EQ(vocabulary.size(), 2U);
  EXPECT_EQ(vocabulary.end_id(), 6);
  EXPECT_EQ(byte_token(0xAF), "<0xAF>");
}

TEST(Vocabulary, RefusesWhatIsNoId) {
  for (const char* json : {R"({"a": -1})", R"({"a": 2000000000})", R"({"a": "0"})", R"({"a": 0.5})"})
    EXPECT_THAT(message_of<DataError>([&] { Vocabulary(Json::parse(json, "test")); }),
                testing::HasSubstr("need an id from 0 to"))
        << json;
}

}  // namespace
}  // namespace evenkeel::data
