#include <set>

#include <gtest/gtest.h>

#include "checkpoint/families/family.h"
#include "core/errors.h"

namespace evenkeel::checkpoint {
namespace {

TEST(FamilyList, HasEachNameOnce) {
  std::set<std::string> names, classes;
  for (const auto& family : families()) {
    EXPECT_TRUE(names.insert(family.model_type).second) << family.model_type;
    EXPECT_TRUE(classes.insert(family.architecture).second) << family.architecture;
    EXPECT_EQ(&family_named(family.model_type, ""), &family);
  }
  EXPECT_EQ(names.size(), 15U);
  EXPECT_THROW(family_named("mamba", "config.json"), CheckpointError);
}

// No two of a family's tensors have one name, and each layout of one names its layer.
TEST(FamilyList, HasRulesThatTellTensorsApart) {
  for (const auto& family : families()) {
    std::set<std::string> foreign;
    for (const auto& rule : family.rules) {
      ASSERT_FALSE(rule.parts.empty());
      for (const auto& part : rule.parts) {
        EXPECT_TRUE(foreign.insert(part.name).second) << family.model_type << " " << part.name;
        EXPECT_EQ(part.name.find("{i}") == std::string::npos, rule.ours.find("{i}") == std::string::npos) << part.name;
      }
    }
  }
}

}  // namespace
}  // namespace evenkeel::checkpoint
