#include "data/objectives/objective.h"

#include <gtest/gtest.h>

#include "support/made_sets.h"

namespace evenkeel::data {
namespace {

// Five tokens of text, of which it makes twice as many; three are enough.
class Doubling : public Objective {
 public:
  int64_t text_tokens(const ExampleId&) const override { return 5; }
  int64_t least_text_tokens() const override { return 3; }
  int64_t length(const ExampleId&, int64_t n_tokens) const override { return 2 * n_tokens; }
  Example example(const ExampleId&, const Text&) const override { return {}; }
  Json options() const override { return Json::Object{{"kind", "doubling"}}; }
};

TEST(Objective, TakesWhatItNeedsOfTheStreamOrWhatIsLeft) {
  const testing::TemporaryFolder folder;
  const auto set = IndexedDataset::open(testing::write_documents(folder, "set", testing::counted_documents(14, 4)));
  const Doubling objective;
  EXPECT_EQ(objective.kind(), "doubling");
  const auto piece = objective.find_text({}, TextStream(set, 4, {1, true}), 1000);
  ASSERT_TRUE(piece.has_value());  // a training's text never ends
  EXPECT_EQ(piece->begin, 1000);
  EXPECT_EQ(piece->end, 1005);
  EXPECT_EQ(piece->n_tokens, 5);
  EXPECT_EQ(piece->length, 10);
  EXPECT_FALSE(piece->in_file.has_value());
  const auto once = TextStream::once(set, 1);  // 13 tokens
  EXPECT_EQ(objective.find_text({}, once, 8)->end, 13);
  EXPECT_EQ(objective.find_text({}, once, 10)->end, 13);
  EXPECT_EQ(objective.find_text({}, once, 10)->length, 6);
  EXPECT_FALSE(objective.find_text({}, once, 11).has_value());
  EXPECT_FALSE(objective.find_text({}, once, 13).has_value());
  EXPECT_NO_THROW(objective.check_set(set, "r.toml:1"));
}

}  // namespace
}  // namespace evenkeel::data
