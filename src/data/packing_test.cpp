#include "data/packing.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/made_sets.h"

namespace evenkeel::data {
namespace {

using testing::TemporaryFolder;

TEST(Packing, MakesTheGoldenRows) {
  const auto golden = testing::read_golden("objectives.json");
  const Json &input = golden.inputs.at("packing"), &need = golden.outputs.at("packing");
  const int64_t S = input.at("sequence_length").as_int();
  Json table = input.at("options");
  table["kind"] = "ul2";
  const auto objective = make_objective(config_from_json(table, "golden"), {S, 200});
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 20 * S + 1; ++i) ids.push_back(20 + i % 100);
  const TemporaryFolder folder;
  const auto set = IndexedDataset::open(testing::write_documents(folder, "set", {ids}));
  const TextStream stream(set, S, {static_cast<uint64_t>(input.at("seed").as_int()), /*shuffle=*/false});
  TextCursor cursor;
  std::vector<int64_t> begins;
  const auto& rows = need.at("rows").as_array();
  for (size_t row = 0; row < rows.size(); ++row) {
    const SequencePlace place{*objective, stream, S};
    const auto drawn = draw_examples(place, cursor);
    for (const auto& example : drawn) begins.push_back(example.text.begin);
    const Example sequence = make_sequence(place, drawn, false);
    const Batch batch = batch_of({&sequence, 1}, S);
    const auto expect_same = [&](const at::Tensor& got, const char* key) {
      EXPECT_TRUE(got.to(at::kLong).flatten().equal(testing::ids_of(rows[row].at(key)))) << key << " of row " << row;
    };
    expect_same(batch.tokens, "tokens");
    expect_same(batch.targets, "targets");
    expect_same(batch.document_ids, "document_ids");
  }
  EXPECT_EQ(begins, testing::integers_of(need.at("text_begins")));
  EXPECT_EQ(cursor.examples, static_cast<int64_t>(begins.size()));
}

// Example n has n % 4 + 1 tokens, of as much text.
class Growing : public Objective {
 public:
  explicit Growing(bool packs, int64_t announced = 0) : packs_(packs), announced_(announced) {}
  int64_t text_tokens(const ExampleId& id) const override { return id.number % 4 + 1; }
  int64_t length(const ExampleId&, int64_t n_tokens) const override { return announced_ > 0 ? announced_ : n_tokens; }
  Example example(const ExampleId&, const Text& text) const override {
    return {.tokens = text.tokens, .targets = text.following, .document_ids = text.documents};
  }
  bool packs() const override { return packs_; }
  bool needs_masks() const override { return packs_; }
  Json options() const override { return Json::Object{{"kind", "growing"}}; }

 private:
  bool packs_;
  int64_t announced_;
};

class Packs : public ::testing::Test {
 protected:
  std::vector<int64_t> lengths(const std::vector<DrawnExample>& drawn) const {
    std::vector<int64_t> out;
    for (const auto& example : drawn) out.push_back(example.text.length);
    return out;
  }
  TemporaryFolder folder_;
  IndexedDataset set_ =
      IndexedDataset::open(testing::write_documents(folder_, "set", testing::counted_documents(13, 2)));
  TextStream stream_{set_, 6, {1, /*shuffle=*/false}};
};

TEST_F(Packs, WholeExamplesInTheirOrderUntilOneDoesNotFit) {
  const Growing objective(true);
  TextCursor cursor;
  const SequencePlace place{objective, stream_, 6};
  EXPECT_EQ(lengths(draw_examples(place, cursor)), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(cursor, (TextCursor{1, 0, 3}));
  EXPECT_EQ(lengths(draw_examples(place, cursor)), (std::vector<int64_t>{4, 1}));
  const auto third = draw_examples(place, cursor);
  EXPECT_EQ(lengths(third), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(cursor, (TextCursor{2, 4, 7}));  // of the second epoch
  EXPECT_EQ(third[1].id.number, 6);
  EXPECT_EQ(third[0].id.epoch, 0);  // it begins in the first
  EXPECT_EQ(third[1].id.epoch, 1);
  const auto sequence = make_sequence(place, third, /*document_ids=*/true);
  EXPECT_EQ(sequence.tokens, (std::vector<int64_t>{11, 0, 1, 2, 3}));
  EXPECT_EQ(sequence.targets, (std::vector<int64_t>{12, 1, 2, 3, 4}));
  EXPECT_EQ(sequence.document_ids, (std::vector<int32_t>{0, 0, 1, 1, 1}));
}

TEST_F(Packs, OneExampleOfAnObjectiveThatDoesNot) {
  const Growing objective(false);
  TextCursor cursor;
  const SequencePlace place{objective, stream_, 6};
  EXPECT_EQ(lengths(draw_examples(place, cursor)), (std::vector<int64_t>{1}));
  const auto drawn = draw_examples(place, cursor);
  EXPECT_EQ(lengths(drawn), (std::vector<int64_t>{2}));
  EXPECT_EQ(make_sequence(place, drawn, true).document_ids, (std::vector<int32_t>{0, 1}));  // those of its text
  EXPECT_TRUE(make_sequence(place, drawn, false).document_ids.empty());
}

TEST_F(Packs, HoldsAnObjectiveToItsWord) {
  TextCursor cursor;
  const Growing longer(true, 7), other(true, 3);
  EXPECT_THROW(draw_examples({longer, stream_, 6}, cursor), std::logic_error);
  EXPECT_EQ(cursor, TextCursor{});
  const SequencePlace place{other, stream_, 6};
  EXPECT_THROW(make_sequence(place, draw_examples(place, cursor), false), std::logic_error);
}

}  // namespace
}  // namespace evenkeel::data
