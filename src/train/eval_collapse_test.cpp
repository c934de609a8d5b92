#include "train/eval_collapse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::train {
namespace {

using record::Alarm;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = Alarm::Kind;

// Layer 3 of four experts, two a token: shares of the assignments.
record::SetResult result_of(std::vector<double> load, int64_t n_tokens = 32) {
  record::LayerRouting layer;
  layer.layer = 3;
  layer.load = std::move(load);
  layer.mri = 2 * *std::max_element(layer.load.begin(), layer.load.end());
  layer.dead = std::count(layer.load.begin(), layer.load.end(), 0.0);
  record::SetResult out;
  out.tokens = n_tokens;
  out.routing = {layer};
  return out;
}
std::vector<Kind> kinds(const record::SetResult& result, int64_t n_experts = 4, int64_t top_k = 2) {
  std::vector<Kind> out;
  for (const auto& alarm : find_eval_collapse(result, n_experts, top_k)) {
    EXPECT_EQ(alarm.layer, 3);
    EXPECT_TRUE(alarm.is_collapse());
    out.push_back(alarm.kind);
  }
  return out;
}

TEST(EvalCollapse, IsNamedByItsKind) {
  EXPECT_THAT(kinds(result_of({0.25, 0.25, 0.25, 0.25})), IsEmpty());
  EXPECT_THAT(kinds(result_of({0.5, 0.25, 0.25, 0})), ElementsAre(Kind::one_expert));
  EXPECT_THAT(kinds(result_of({0.48, 0.26, 0.26, 0})), IsEmpty());  // 0.96 of the tokens
  EXPECT_THAT(kinds(result_of({0.5, 0.48, 0.02, 0})), ElementsAre(Kind::same_experts));
  auto unused = result_of({0.375, 0.375, 0.25, 0});
  EXPECT_THAT(kinds(unused), IsEmpty());
  unused.routing[0].load = {};  // a line without loads
  unused.routing[0].dead = 3;
  EXPECT_THAT(kinds(unused), ElementsAre(Kind::unused_experts));
  unused.routing[0].dead = 2;  // half is not more than half
  EXPECT_THAT(kinds(unused), IsEmpty());
}

TEST(EvalCollapse, OfFewTokensIsChance) {
  EXPECT_THAT(kinds(result_of({1, 0, 0, 0}, 31)), IsEmpty());
  auto many_experts = result_of(std::vector<double>(32, 1.0 / 32), 127);
  many_experts.routing[0].dead = 20;
  EXPECT_THAT(kinds(many_experts, 32), IsEmpty());  // 254 assignments, 8 * 32 are needed
  many_experts.tokens = 128;
  EXPECT_THAT(kinds(many_experts, 32), ElementsAre(Kind::unused_experts));
}

TEST(EvalCollapse, NeedsAChoice) {
  EXPECT_THAT(kinds(result_of({0.5, 0.5}), 2, 2), IsEmpty());  // every token has every expert
  EXPECT_THAT(kinds(result_of({0.4, 0.35, 0.25}), 3, 2), IsEmpty());
  auto two_of_three = result_of({0.495, 0.255, 0.25});
  EXPECT_THAT(kinds(two_of_three, 3, 2), IsEmpty());  // an even load is 0.67 of the tokens
  record::SetResult dense;
  EXPECT_THAT(kinds(dense), IsEmpty());
}

}  // namespace
}  // namespace evenkeel::train
