#include "record/alarm.h"

#include <gtest/gtest.h>

namespace evenkeel::record {
namespace {

TEST(Alarm, IsWrittenWithTheNameOfItsKind) {
  EXPECT_EQ(to_json(Alarm{2, Alarm::Kind::same_experts, "t"}).dump(),
            R"({"layer":2,"kind":"same_experts","text":"t"})");
  EXPECT_EQ(to_json(Alarm{Alarm::kAllLayers, Alarm::Kind::not_causal, "t"}).dump(),
            R"({"layer":null,"kind":"not_causal","text":"t"})");
}

TEST(Alarm, EachKindIsReadBack) {
  for (const auto& [name, kind] : names_of(Alarm::Kind{})) {
    const Alarm alarm{1, kind, "t"};
    EXPECT_EQ(row_from_json<Alarm>(to_json(alarm), "t"), alarm) << name;
  }
}

TEST(Alarm, SaysWhatIsACollapse) {
  EXPECT_TRUE((Alarm{0, Alarm::Kind::no_scores, ""}.is_collapse()));
  EXPECT_TRUE((Alarm{0, Alarm::Kind::unused_experts, ""}.is_collapse()));
  EXPECT_FALSE((Alarm{0, Alarm::Kind::no_gradient, ""}.is_collapse()));
}

}  // namespace
}  // namespace evenkeel::record
