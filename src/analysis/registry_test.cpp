#include <set>

#include <gtest/gtest.h>

#include "analysis/analysis.h"

namespace evenkeel::analysis {
namespace {

TEST(Registry, NamesAreUniqueAndEveryKindIsMade) {
  AnalysisInput input;
  input.model = "m";
  input.data = {{"a", 8}};
  input.layers = {{0, 4, 2}};
  input.vocab_size = 10;
  input.sequence_length = 4;
  std::set<std::string> names;
  for (const auto& kind : analysis_kinds()) {
    EXPECT_TRUE(names.insert(kind.name).second) << kind.name;
    EXPECT_FALSE(std::string(kind.help).empty());
    EXPECT_NE(kind.make(input), nullptr) << kind.name;
    EXPECT_GT(kind.bytes(input), 0) << kind.name;
  }
  EXPECT_EQ(names.count("load"), 1u);
}

}  // namespace
}  // namespace evenkeel::analysis
