#include "record/load_figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/files.h"
#include "support/made_lines.h"

namespace evenkeel::record {
namespace {

using ::testing::HasSubstr;

// Half and half of four experts: H = ln 2 / ln 4 = 0.5; mean share 1/4, deviations of 1/4 each, so cv = 1.
LayerRouting half_and_half() {
  return {.layer = 3, .mri = 1.0, .entropy = 0.5, .cv = 1.0, .dead = 2, .dropped = 0, .load = {0.5, 0, 0.5, 0}};
}

std::string message(const LayerRouting& layer) {
  return testing::message_of<DataError>([&] { require_figures_of_load(layer, "m.jsonl, line 2"); });
}

TEST(FiguresOfLoad, TakesThoseOfItsLoad) {
  require_figures_of_load(half_and_half(), "t");
  LayerRouting rounded = half_and_half();
  rounded.entropy += 1e-12;  // another machine's logarithm
  require_figures_of_load(rounded, "t");
  require_figures_of_load({.mri = 0.5, .entropy = 1, .cv = 0, .dead = 0, .load = {1.0}}, "one expert");
  require_figures_of_load({.mri = 0, .entropy = 0, .cv = 0, .dead = 3, .load = {0, 0, 0}}, "no tokens");
  require_figures_of_load({.mri = 0.9, .entropy = 0.1, .cv = 7, .dead = 5, .load = {}}, "a load that was not read");
}

TEST(FiguresOfLoad, NamesTheOneThatIsNot) {
  auto wrong = half_and_half();
  wrong.load[1] = 0.25;
  EXPECT_EQ(message(wrong),
            "m.jsonl, line 2: got a 'load' of layer 3 whose shares sum to 1.25; need a sum of 1, or 0 "
            "without tokens");
  wrong = half_and_half();
  wrong.dead = 9;
  EXPECT_EQ(message(wrong), "m.jsonl, line 2: got 9 as 'dead' of layer 3; need 2, as its 'load' gives");
  wrong = half_and_half();
  wrong.entropy = 0.25;
  EXPECT_THAT(message(wrong), HasSubstr("got 0.25 as 'entropy' of layer 3; need 0.5"));
  wrong = half_and_half();
  wrong.cv = 0.5;
  EXPECT_THAT(message(wrong), HasSubstr("got 0.5 as 'cv' of layer 3; need 1"));
  wrong = half_and_half();
  wrong.mri = 0;
  EXPECT_THAT(message(wrong), HasSubstr("got 0 as 'mri' of layer 3; need more than 0, as its 'load' has tokens"));
}

}  // namespace
}  // namespace evenkeel::record
