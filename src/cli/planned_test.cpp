#include "cli/planned.h"

#include <gtest/gtest.h>

namespace evenkeel::cli {
namespace {

TEST(Planned, KnowsWhatIsNotThereYet) {
  EXPECT_TRUE(is_planned_command("generate"));
  EXPECT_FALSE(is_planned_command("train"));
  EXPECT_FALSE(is_planned_command("convert"));
  EXPECT_FALSE(is_planned_command("generat"));
  EXPECT_TRUE(is_planned_option("eval", "--task"));
  EXPECT_FALSE(is_planned_option("eval", "--data"));
  EXPECT_FALSE(is_planned_option("train", "--task"));
}

}  // namespace
}  // namespace evenkeel::cli
