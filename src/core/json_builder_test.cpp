#include "core/json_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"

namespace evenkeel {
namespace {

TEST(JsonBuilder, MakesAValueOfItsEvents) {
  JsonBuilder builder("t.json", RepeatedKeys::refused);
  builder.open_object();
  builder.key("a");
  builder.open_array();
  builder.value(Json(1));
  builder.value(Json());
  EXPECT_TRUE(builder.is_open());
  builder.close_array();
  builder.key("b");
  builder.value(Json("text"));
  builder.close_object();
  EXPECT_FALSE(builder.is_open());
  EXPECT_EQ(builder.take().dump(), R"({"a":[1,null],"b":"text"})");
  builder.value(Json(true));  // a plain value is whole at once
  EXPECT_FALSE(builder.is_open());
  EXPECT_EQ(builder.take().dump(), "true");
}

TEST(JsonBuilder, RefusesAKeyThatStandsTwiceOrKeepsBoth) {
  const auto built = [](RepeatedKeys repeated) {
    JsonBuilder builder("t.json", repeated);
    builder.open_object();
    for (const int value : {1, 2}) {
      builder.key("a");
      builder.value(Json(value));
    }
    builder.close_object();
    return builder.take().size();
  };
  EXPECT_EQ(built(RepeatedKeys::kept), 2u);
  try {
    built(RepeatedKeys::refused);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const DataError& error) {
    EXPECT_STREQ(error.what(), "t.json: got the key 'a' twice in one object; need it once");
  }
}

}  // namespace
}  // namespace evenkeel
