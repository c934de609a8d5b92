#include "train/resolved_recipe.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

TEST(ResolvedRecipe, NamesTheKeyThatIsWrong) {
  const Json resolved = run_config_json(testing::tiny_config("/data"));
  require_resolved_recipe(resolved, "resolved.json");
  const auto message = [&](const std::function<void(Json&)>& change) {
    Json changed = resolved;
    change(changed);
    return testing::message_of<DataError>([&] { require_resolved_recipe(changed, "r/resolved.json"); });
  };
  const auto phase = [](Json& json, size_t i) -> Json& { return json["phase"].as_array()[i]; };
  EXPECT_EQ(message([&](Json& json) { phase(json, 0)["steps"] = Json(); }),
            "r/resolved.json: got null as 'steps'; need an integer");
  EXPECT_EQ(message([&](Json& json) { phase(json, 0)["steps"] = 0; }),
            "r/resolved.json: got 0 as 'steps'; need 1 to 9e+15");
  EXPECT_EQ(message([&](Json& json) { phase(json, 1)["name"] = 3; }),
            "r/resolved.json: got integer as 'name'; need a text");
  EXPECT_EQ(message([&](Json& json) { phase(json, 1)["data"] = Json::array(); }),
            "r/resolved.json: got no data in phase 'two'; need what it trains on");
  EXPECT_EQ(message([&](Json& json) { json["phase"] = Json::array(); }),
            "r/resolved.json: got no phase; need those of the run");
  EXPECT_EQ(message([&](Json& json) { json["train"]["seed"] = "1"; }),
            "r/resolved.json: got string as 'seed'; need an integer");
  EXPECT_EQ(message([&](Json& json) {
              phase(json, 0)["start"] = Json::Object{{"from", "x"}, {"step", "three"}};
            }),
            "r/resolved.json: got 'three' as the 'step' of a start; need \"last\" or a whole number");
  EXPECT_EQ(message([&](Json& json) { json.erase("model"); }), "r/resolved.json: got no table 'model'; need it");
}

}  // namespace
}  // namespace evenkeel::train
