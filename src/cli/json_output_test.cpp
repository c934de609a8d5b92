#include "cli/json_output.h"

#include <cmath>

#include <gtest/gtest.h>

namespace evenkeel::cli {
namespace {

TEST(JsonOutput, WritesWholeNumbersAsIntegers) {
  const Json json = Json::Object{{"tokens", 1.5e8},
                                 {"rate", 0.25},
                                 {"list", Json::Array{1e5, -2e5, 3, "1e5"}},
                                 {"large", 1e20},
                                 {"edge", 9007199254740991.0}};
  EXPECT_EQ(with_whole_numbers(json).dump(),
            "{\"tokens\":150000000,\"rate\":0.25,\"list\":[100000,-200000,3,\"1e5\"],"
            "\"large\":1e+20,\"edge\":9007199254740991}");
  EXPECT_EQ(with_whole_numbers(Json(INFINITY)).dump(), "null");
}

}  // namespace
}  // namespace evenkeel::cli
