#include <gtest/gtest.h>

#include "data/conversations/test_support.h"

namespace evenkeel::data {

ChatTemplate plain_chat_template();

namespace {

TEST(Plain, EndsEachAnswerWithTheEndOfTheDocument) {
  EXPECT_EQ(laid_out(plain_chat_template(),
                     {{Role::user, "U"}, {Role::assistant, "A"}, {Role::user, "V\n"}, {Role::assistant, ""}}),
            "user:\nU\nassistant:\n«A»«{}»\nuser:\nV\n\nassistant:\n«»«{}»");
}

}  // namespace
}  // namespace evenkeel::data
