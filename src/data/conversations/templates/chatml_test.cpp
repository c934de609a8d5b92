#include <gtest/gtest.h>

#include "data/conversations/test_support.h"

namespace evenkeel::data {

ChatTemplate chatml_chat_template();

namespace {

TEST(Chatml, IsAsPublished) {
  EXPECT_EQ(laid_out(chatml_chat_template(), {{Role::system, "S"}, {Role::user, " U\n"}, {Role::assistant, "A"}}),
            "[<|im_start|>]system\nS[<|im_end|>]\n[<|im_start|>]user\n U\n[<|im_end|>]\n"
            "[<|im_start|>]assistant\n«A»«[<|im_end|>]»\n");
}

}  // namespace
}  // namespace evenkeel::data
