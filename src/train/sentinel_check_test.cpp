#include "train/sentinel_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/prepare.h"
#include "data/test_support.h"
#include "support/files.h"

namespace evenkeel::train {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Text that a tokenizer of 400 pieces was trained on, and made tokens of.
class SentinelCheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto text = folder_.write("text.txt", data::joined(data::made_documents(40), "\n\n"));
    data::prepare(*data::open_tokenizer(data::small_model()), {text}, folder_ / "en", {});
    piece_ = std::to_string(data::IndexedDataset::open(folder_ / "en").contents().largest_id);
  }
  // Span corruption whose first sentinel is an id that the text has.
  std::string with_a_piece() const { return "{kind = \"span_corruption\", first_sentinel = " + piece_ + "}"; }
  void check(const std::string& objective) {
    const auto table = parse_toml("o = " + objective, "r.toml", "");
    const auto made = data::make_objective(*table.find("o"), {.sequence_length = 64, .vocab_size = 512});
    SentinelCheck()(*made, data::IndexedDataset::open(folder_ / "en"), "r.toml:9:1");
  }
  const testing::TemporaryFolder folder_;
  std::string piece_;
};

TEST_F(SentinelCheckTest, RefusesAPieceOfText) {
  const std::string message = testing::message_of<DataError>([&] { check(with_a_piece()); });
  EXPECT_THAT(message,
              AllOf(HasSubstr("r.toml:9:1: got objective.first_sentinel = " + piece_ + ", which is the piece '"),
                    HasSubstr(".model, the tokenizer of "), HasSubstr("need ids that it makes of no text")));
}

TEST_F(SentinelCheckTest, TakesIdsThatAreNoText) {
  check("{kind = \"span_corruption\", first_sentinel = 511}");  // beyond its pieces
  check("{kind = \"prefix_lm\"}");                              // which has no sentinels
}

TEST_F(SentinelCheckTest, NeedsTheTokenizerThatTheSetWasMadeWith) {
  auto json = read_file(folder_ / "en.json");
  const auto at = json.find("\"tokenizer_sha256\"");
  ASSERT_NE(at, std::string::npos);
  const auto value = json.find('"', json.find(':', at));
  json[value + 1] = json[value + 1] == '0' ? '1' : '0';
  write_file_atomically(folder_ / "en.json", json);
  check(with_a_piece());  // another tokenizer by now: nothing is known
}

}  // namespace
}  // namespace evenkeel::train
