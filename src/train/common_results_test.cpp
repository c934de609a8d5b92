#include "train/common_results.h"

#include <gtest/gtest.h>

namespace evenkeel::train {
namespace {

std::string common(const char* got, const char* needed) {
  const auto [left, right] = common_results(Json::parse(got, "got"), Json::parse(needed, "needed"));
  return left.dump() + " | " + right.dump();
}

TEST(CommonResults, AreTheKeysOfBothWithoutTheTexts) {
  EXPECT_EQ(common(R"({"headlines": ["x"], "a": 1, "old": 2, "arms": [{"b": 3, "old": 4}]})",
                   R"({"headlines": [], "new": 5, "arms": [{"new": 6, "b": 7}], "a": 8})"),
            R"({"arms":[{"b":3}],"a":1} | {"arms":[{"b":7}],"a":8})");
  EXPECT_EQ(common(R"({"arms": [1]})", R"({"arms": [1, 2]})"), R"({"arms":[1]} | {"arms":[1,2]})");
}

TEST(CommonResults, OfTablesAreTheColumnsOfBothByName) {
  EXPECT_EQ(common(R"({"columns": [{"name": "arm"}, {"name": "gone"}, {"name": "loss", "unit": "nats"}],
                       "rows": [["x", 1, 2.5]], "source": "s"})",
                   R"({"columns": [{"name": "loss", "unit": "nats/token"}, {"name": "loss_se"}, {"name": "arm"}],
                       "rows": [[2.5, 0.1, "x"], [3.5, 0.2, "y"]], "source": "t"})"),
            R"({"columns":["loss","arm"],"rows":[[2.5,"x"]]} | )"
            R"({"columns":["loss","arm"],"rows":[[2.5,"x"],[3.5,"y"]]})");
}

}  // namespace
}  // namespace evenkeel::train
