// A new objective is one file (tail.cpp) and one line of the registry: with them, and nothing else, it is read, listed,
// drawn, trained, saved and resumed. The registry of attention has the made-up kind of tests/new_attention beside.
#include <set>

#include "data/loader.h"
#include "study/recipe_keys.h"
#include "support/gradients.h"
#include "support/trained_runs.h"

namespace evenkeel::train {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
using testing::same_bits;

constexpr int64_t S = 8, kText = 6;
const std::string kTail = "phase.one.objective={kind = \"tail\", text = 6}";

class NewObjective : public testing::RunTest {
 protected:
  // Of the set "a", whose 161 tokens are 20 samples of 8; six of them make an example, and the next one goes on behind.
  data::Loader loader(data::SamplerState state = {}, uint64_t seed = 1, bool document_ids = false) {
    const auto objective = parse_toml("o = {kind = \"tail\", text = 6}", "r.toml", "");
    data::LoaderOptions options{{S, testing::kTinyVocabulary, seed}, document_ids};
    options.objective = data::make_objective(*objective.find("o"), {S, testing::kTinyVocabulary});
    return {
        options, {.data = {{"a", (folder_ / "a").string(), 1, "w"}}, .shuffle = false}, std::move(state), datasets_};
  }
  data::Datasets datasets_;
};

void expect_same_batch(const data::Batch& left, const data::Batch& right) {
  for (const auto part :
       {&data::Batch::tokens, &data::Batch::targets, &data::Batch::is_padding, &data::Batch::is_prefix})
    EXPECT_TRUE(same_bits(left.*part, right.*part));
  EXPECT_EQ(left.sources, right.sources);
}

std::vector<int64_t> prefixes_of(const data::Batch& batch) {
  const auto lengths = batch.is_prefix.sum(1);
  const int64_t* data = lengths.const_data_ptr<int64_t>();
  return {data, data + lengths.numel()};
}

TEST_F(NewObjective, IsReadListedAndWritten) {
  const Json written = run_config_json(config({kTail})).at("phase").at(0).at("objective");
  EXPECT_EQ(written.dump(), R"({"kind":"tail","text":6})");
  const Json other = run_config_json(config({kTail})).at("phase").at(1).at("objective");
  EXPECT_EQ(other.dump(), R"({"kind":"causal"})");  // not inherited
  EXPECT_THAT(message_of<ConfigError>([&] { config({"phase.one.objective={kind = \"tall\"}"}); }),
              HasSubstr("need one of: causal, tail, prefix_lm"));
  EXPECT_THAT(message_of<ConfigError>([&] { config({"phase.one.objective={kind = \"tail\", txet = 6}"}); }),
              HasSubstr("did you mean 'text'"));
  EXPECT_THAT(message_of<ConfigError>([&] { config({"phase.one.objective={kind = \"tail\", text = 9}"}); }),
              HasSubstr("got phase.objective.text = 9; need 2..8 (train.sequence_length)"));
  const auto keys = matching_keys(study::recipe_keys(), "phase.NAME.objective.text");
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_EQ(shown_kinds(keys[0]), "tail");
}

TEST_F(NewObjective, SaysWhatIsScoredPrefixAndPadding) {
  auto drawn = loader({}, 1, /*document_ids=*/true);
  const auto& dataset = datasets_.at((folder_ / "a").string());
  const auto batch = drawn.next(20);
  const auto prefixes = prefixes_of(batch);
  EXPECT_EQ(batch.sources, (std::map<std::string, int64_t>{{"a", 20}}));
  for (int64_t row = 0; row < 20; ++row) {
    const int64_t prefix = prefixes[static_cast<size_t>(row)];
    ASSERT_TRUE(prefix >= 1 && prefix < kText) << prefix;
    std::vector<int64_t> text(kText + 1);
    dataset.copy(row * kText, kText + 1, text.data());
    for (int64_t i = 0; i < S; ++i) {
      const auto at = static_cast<size_t>(i);
      const bool is_text = i < kText;
      const auto value = [&](const at::Tensor& part) { return part[row][i].item<int64_t>(); };
      EXPECT_EQ(value(batch.tokens), is_text ? text[at] : 0);
      EXPECT_EQ(value(batch.targets), is_text && i + 1 >= prefix ? text[at + 1] : -1);
      EXPECT_EQ(value(batch.is_prefix), i < prefix ? 1 : 0);
      EXPECT_EQ(value(batch.is_padding), is_text ? 0 : 1);
      // Documents have 7 tokens; padding is one of its own.
      const int64_t first = row * kText, token = is_text ? first + i : first + kText - 1;
      EXPECT_EQ(value(batch.document_ids), token / 7 - first / 7 + (is_text ? 0 : 1));
    }
  }
}

// Its prefix is drawn from the seed and the number of the example: each epoch has others, and so has another seed.
TEST_F(NewObjective, IsAPureFunctionOfSeedAndNumber) {
  auto one = loader(), same = loader(), other = loader({}, 2);
  const auto first = prefixes_of(one.next(20)), second = prefixes_of(one.next(20));
  std::vector<int64_t> by_ones;
  for (int i = 0; i < 20; ++i) by_ones.push_back(prefixes_of(same.next(1))[0]);
  EXPECT_EQ(by_ones, first);  // whatever the size of the batch
  EXPECT_NE(second, first);
  EXPECT_NE(prefixes_of(other.next(20)), first);
  std::set<int64_t> lengths(first.begin(), first.end());
  lengths.insert(second.begin(), second.end());
  EXPECT_EQ(lengths, (std::set<int64_t>{1, 2, 3, 4, 5}));  // of 40 draws: one is left out with a chance below 0.001
}

TEST_F(NewObjective, ReadsTheSameAfterAResume) {
  for (const int64_t stop : {3, 19, 24}) {
    auto whole = loader();
    whole.next(stop);
    const auto state = data::sampler_state_from_json(Json::parse(data::to_json(whole.state()).dump(), "state"));
    auto resumed = loader(state);
    expect_same_batch(resumed.next(7), whole.next(7));
  }
}

// What an objective says of itself is held against what it makes.
class Careless : public data::Objective {
 public:
  explicit Careless(int64_t n_tokens) : n_tokens_(n_tokens) {}
  int64_t text_tokens(const data::ExampleId&) const override { return n_tokens_; }
  data::Example example(const data::ExampleId&, const data::Text& text) const override {
    return {.tokens = text.tokens, .targets = text.tokens, .is_prefix = std::vector<bool>(text.tokens.size())};
  }
  Json options() const override { return Json::object(); }

 private:
  int64_t n_tokens_;
};

TEST_F(NewObjective, MustSayWhatItNeeds) {
  for (const int64_t n_tokens : {0, 9, 3}) {  // no text, more than a sample has, a prefix that it does not announce
    data::LoaderOptions options{{S, testing::kTinyVocabulary, 1}};
    options.objective = std::make_shared<Careless>(n_tokens);
    data::Loader careless(options, {.data = {{"a", (folder_ / "a").string(), 1, "w"}}}, {}, datasets_);
    EXPECT_THROW(careless.next(1), std::logic_error) << n_tokens;
  }
}

TEST_F(NewObjective, NeedsAttentionThatTakesMasks) {
  const std::string mean = "model.attention={kind = \"mean\", gain = 2.0}";
  EXPECT_NO_THROW(config({mean}));
  EXPECT_THAT(
      message_of<ConfigError>([&] {
        config({mean, kTail});
      }),
      AllOf(HasSubstr("got phase.one.objective.kind = 'tail'; need one such as 'causal'"), HasSubstr("takes no mask")));
}

TEST_F(NewObjective, TrainsIsSavedAndResumes) {
  EXPECT_EQ(train("whole", {kTail}), TrainOutcome::finished);
  auto stopped = options("stopped");
  stopped.keep_steps = {4};
  train_run(config({kTail}), stopped);
  for (const int64_t step : {6, 10}) std::filesystem::remove_all(checkpoint("stopped", step));
  train("stopped", {kTail}, /*resume=*/true);
  expect_same_end("stopped", "whole");
  EXPECT_EQ(train("causal"), TrainOutcome::finished);
  EXPECT_NE(timeless_lines("causal"), timeless_lines("whole"));
}

}  // namespace
}  // namespace evenkeel::train
