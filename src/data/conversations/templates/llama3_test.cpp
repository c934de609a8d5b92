#include <gtest/gtest.h>

#include "data/conversations/test_support.h"

namespace evenkeel::data {

ChatTemplate llama3_chat_template();

namespace {

TEST(Llama3, IsAsPublished) {
  EXPECT_EQ(laid_out(llama3_chat_template(), {{Role::user, " U \n"},
                                              {Role::assistant,
                                               "\u00a0\u2003A\x1c"
                                               "b\u3000\x1f"}}),
            "[<|begin_of_text|>][<|start_header_id|>]user[<|end_header_id|>]\n\nU[<|eot_id|>]"
            "[<|start_header_id|>]assistant[<|end_header_id|>]\n\n«A\x1c"
            "b»«[<|eot_id|>]»");
  EXPECT_EQ(laid_out(llama3_chat_template(), {{Role::assistant, " \n "}}),
            "[<|begin_of_text|>][<|start_header_id|>]assistant[<|end_header_id|>]\n\n«»«[<|eot_id|>]»");
}

}  // namespace
}  // namespace evenkeel::data
