#include "train/preview.h"

#include "core/json_lines.h"
#include "support/gradients.h"
#include "support/trained_runs.h"
#include "train/state.h"

namespace evenkeel::train {
namespace {

using testing::same_bits;

// Held against what a run that was trained had drawn, by its checkpoints.
class PreviewTest : public testing::RunTest {
 protected:
  void expect_same_sequences(Preview& preview, data::Loader& loader, int64_t n_sequences) {
    for (int64_t i = 0; i < n_sequences; ++i) {
      const auto got = preview.next();
      const auto need = loader.next(1);
      EXPECT_EQ(got.source, need.sources.begin()->first) << i;
      EXPECT_TRUE(same_bits(got.batch.tokens, need.tokens)) << i;
      EXPECT_TRUE(same_bits(got.batch.targets, need.targets)) << i;
    }
  }
  // Phase two, which starts at the checkpoint of `step`; `last`: that of the last step before it.
  void expect_as_trained(const std::vector<std::string>& overrides, int64_t step = 6) {
    std::string what;
    for (const auto& text : overrides) what += text + " ";
    SCOPED_TRACE(what);
    const std::string run = "run" + std::to_string(n_runs_++);
    train(run, overrides);
    const auto recipe = config(overrides);
    InputData data;
    data.open(recipe);
    const auto state_at = [&](int64_t of) { return read_json(checkpoint(run, of) / "state.json"); };
    auto loader_state = data::sampler_state_from_json(state_at(step).at("loader"));
    loader_state.mixture.clear();
    loader_state.replay_draws = 0;
    auto records = read_records(state_at(6), "state.json", recipe.train.seed);
    if (step != 6) records[0].drawn = read_records(state_at(step), "state.json", recipe.train.seed)[0].drawn;
    const auto& phase = recipe.phases[1];
    data::Loader loader(loader_options(recipe, phase), phase_draws(recipe, phase, records), loader_state,
                        data.datasets());
    InputData fresh;
    Preview preview(recipe, 1, fresh);
    expect_same_sequences(preview, loader, 24);  // the phase has 16
  }
  int n_runs_ = 0;
};

TEST_F(PreviewTest, OfTheFirstPhaseIsWhatItsLoaderFeeds) {
  const auto recipe = config({"phase.one.objective={kind = \"prefix_lm\"}"});
  InputData data, fresh;
  data.open(recipe);
  const auto& phase = recipe.phases[0];
  data::Loader loader(loader_options(recipe, phase), phase_draws(recipe, phase, {}), {}, data.datasets());
  Preview preview(recipe, 0, fresh);
  const auto first = preview.next();
  EXPECT_EQ(first.source, "a");
  EXPECT_EQ(first.objective->kind(), "prefix_lm");
  EXPECT_EQ(first.dataset->prefix(), folder_ / "a");
  EXPECT_TRUE(same_bits(first.batch.tokens, loader.next(1).tokens));
  expect_same_sequences(preview, loader, 40);
}

TEST_F(PreviewTest, OfALaterPhaseGoesOnWhereTheEarlierOnesEnd) {
  const std::string same_data = "phase.two.data=[{name = \"a\", path = \"" + (folder_ / "a").string() + "\"}]";
  expect_as_trained({});
  expect_as_trained({same_data});
  expect_as_trained({same_data, "model.vocab_size=32",  // the data have the ids below 16
                     "phase.one.objective={kind = \"span_corruption\", inputs = 4, targets = 4}"});
  expect_as_trained({"phase.one.objective={kind = \"prefix_lm\"}",
                     "phase.two.replay={fraction = 0.5, from = \"one\", mode = \"seen\"}"});
  expect_as_trained({same_data, "phase.two.replay={fraction = 0.25, from = \"one\"}"});
}

TEST_F(PreviewTest, OfAPhaseThatStartsInTheMiddleOfAnotherGoesOnFromThere) {
  expect_as_trained(
      {"phase.two.start={step = 3}", "phase.two.data=[{name = \"a\", path = \"" + (folder_ / "a").string() + "\"}]"},
      3);
  expect_as_trained(
      {"phase.two.start={step = 3}", "phase.two.replay={fraction = 0.5, from = \"one\", mode = \"seen\"}"}, 3);
}

TEST_F(PreviewTest, OfAPhaseThatStartsFromAnotherRunGoesOnFromThat) {
  train("other");
  const std::string start = "phase.one.start={from = \"" + (folder_ / "other").string() + "\", step = 6}",
                    data_of_a = "phase.one.data=[{name = \"a\", path = \"" + (folder_ / "a").string() + "\"}]";
  const auto recipe = config({start, data_of_a});
  InputData data, fresh;
  data.open(recipe);
  const Json state = read_json(checkpoint("other", 6) / "state.json");
  auto loader_state = data::sampler_state_from_json(state.at("loader"));
  loader_state.mixture.clear();
  const auto& phase = recipe.phases[0];
  data::Loader loader(loader_options(recipe, phase), phase_draws(recipe, phase, {}), loader_state, data.datasets());
  Preview preview(recipe, 0, fresh);
  expect_same_sequences(preview, loader, 8);
}

// Sets of evaluations and of later phases need not be there.
TEST_F(PreviewTest, OpensNoMoreThanItDraws) {
  const auto recipe = config({"phase.two.data=[{name = \"b\", path = \"/nowhere\"}]",
                              "phase.one.eval={data = [{name = \"held\", path = \"/nowhere\"}]}"});
  InputData data;
  EXPECT_EQ(Preview(recipe, 0, data).next().source, "a");
  InputData other;
  EXPECT_THROW(Preview(recipe, 1, other), DataError);
}

}  // namespace
}  // namespace evenkeel::train
