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
  std::string check(const std::string& objective, int64_t sequence_length = 64) {
    const auto table = parse_toml("o = " + objective, "r.toml", "");
    const auto made = data::make_objective(*table.find("o"), {.sequence_length = sequence_length, .vocab_size = 512});
    return SentinelCheck()(*made, data::IndexedDataset::open(folder_ / "en"), "r.toml:9:1");
  }
  const testing::TemporaryFolder folder_;
  std::string piece_;
};

TEST_F(SentinelCheckTest, RefusesAPieceOfText) {
  const std::string message = testing::message_of<DataError>([&] { check(with_a_piece()); });
  EXPECT_THAT(message, AllOf(HasSubstr("r.toml:9:1: got objective.first_sentinel = " + piece_ +
                                       ", so that the sentinel " + piece_ + " is the piece '"),
                             HasSubstr(".model, the tokenizer of "), HasSubstr("that it makes of no text")));
}

// The first one is beyond the pieces, the last of the longest example are not.
TEST_F(SentinelCheckTest, RefusesAnyOfItsSentinels) {
  const std::string first = std::to_string(data::open_tokenizer(data::small_model())->vocab_size());
  const std::string objective = "{kind = \"span_corruption\", first_sentinel = " + first + "}";
  EXPECT_THAT(testing::message_of<DataError>([&] { check(objective, 1024); }),
              AllOf(HasSubstr("got objective.first_sentinel = " + first + ", so that the sentinel "),
                    HasSubstr(" is the piece '")));
}

TEST_F(SentinelCheckTest, WarnsOfMarkersThatArePiecesOfText) {
  const auto tokenizer = data::open_tokenizer(data::small_model());
  const auto with = [&](const std::string& keys) {
    return check("{kind = \"ul2\", first_sentinel = 511, " + keys + "}");
  };
  const std::string end = std::to_string(tokenizer->end_of_document().value());
  EXPECT_EQ(with("bos = 450, eos = " + end + ", prompts = {R = [460]}"), "");
  const std::string warning = with("bos = " + end + ", eos = " + piece_ + ", prompts = {S = [460, " + piece_ + "]}");
  EXPECT_THAT(warning, AllOf(HasSubstr("objective 'ul2': got eos = " + piece_ + ", which is the piece '"),
                             HasSubstr("', prompts.S = " + piece_ + ", which is the piece '"), HasSubstr(".model")));
  EXPECT_EQ(warning.find("bos"), std::string::npos);
}

TEST_F(SentinelCheckTest, TakesIdsThatAreNoText) {
  const std::string end = std::to_string(data::open_tokenizer(data::small_model())->end_of_document().value());
  EXPECT_EQ(check("{kind = \"span_corruption\", first_sentinel = 511, bos = 500, eos = " + end + "}"),
            "");                                   // beyond its pieces
  EXPECT_EQ(check("{kind = \"prefix_lm\"}"), "");  // which has no sentinels
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
