#include "analysis/runner.h"

#include <gmock/gmock.h>

#include "analysis/test_support.h"
#include "core/errors.h"

namespace evenkeel::analysis {
namespace {

using ::testing::HasSubstr;

TEST(FindAnalyses, KeepsTheOrderOfTheRegistryAndNamesTheNearest) {
  EXPECT_EQ(find_analyses({}, "--only").size(), analysis_kinds().size());
  const auto two = find_analyses({"saturation", "load"}, "--only");
  ASSERT_EQ(two.size(), 2u);
  EXPECT_STREQ(two[0]->name, "load");
  EXPECT_THAT(
      testing::message_of<ConfigError>([] { find_analyses({"lod"}, "--only"); }),
      HasSubstr("--only: got 'lod'; need one of those that 'evenkeel analyze --help' lists (did you mean 'load'?)"));
}

AnalysisInput input_of(const LoadedModel& model, const std::vector<std::unique_ptr<ObservationSource>>& sources) {
  AnalysisInput input;
  input.model = model.name;
  for (size_t i = 0; i < sources.size(); ++i)
    input.data.push_back({"set " + std::to_string(i), sources[i]->n_tokens()});
  input.layers = moe_layers(model.model.config());
  input.vocab_size = model.vocab_size();
  input.sequence_length = 8;
  return input;
}

std::string text_of(const AnalysisTables& result) {
  std::string out;
  for (const auto& table : result.tables) out += table.name + to_json(table.table).dump() + "\n";
  for (const auto& note : result.notes) out += note + "\n";
  return out;
}

TEST(RunAnalyses, FiguresDoNotDependOnTheBatchSizeInModeEval) {
  const testing::TemporaryFolder folder;
  const auto a = data::IndexedDataset::open(write_documents(folder, "a", 200, 1)),
             b = data::IndexedDataset::open(write_documents(folder, "b", 90, 2));
  const auto model = tiny_model(1), reference = tiny_model(2);
  std::string first;
  for (const int64_t batch_size : {1, 3, 16}) {
    std::vector<std::unique_ptr<ObservationSource>> sources;
    for (const auto* dataset : {&a, &b})
      sources.push_back(make_forward_source(model, &reference, windows_of(*dataset, 8, 0), {.batch_size = batch_size}));
    auto input = input_of(model, sources);
    input.reference = reference.name;
    int64_t last = 0;
    // The balance losses sum fp32 softmaxes of logits whose last bits depend on the shape of the product; the others
    // count.
    std::vector<const AnalysisKind*> kinds;
    for (const auto* kind : find_analyses({}, ""))
      if (std::string(kind->name) != "balance_losses") kinds.push_back(kind);
    const auto result = run_analyses(kinds, input, sources, [&](int64_t n_tokens) {
      EXPECT_GT(n_tokens, last);
      last = n_tokens;
    });
    EXPECT_EQ(last, 199 + 89);
    EXPECT_GE(result.tables.size(), 3u);
    if (first.empty()) first = text_of(result);
    EXPECT_EQ(text_of(result), first) << "batches of " << batch_size;
  }
}

// Notes the cluster of every window that it observes.
std::vector<int64_t> seen_clusters;
class Probe : public Analysis {
 public:
  void observe(const Observation& batch) override {
    for (int64_t window = 0; window < batch.input_ids.size(0); ++window)
      seen_clusters.push_back(batch.cluster_of(window));
  }
  std::vector<NamedTable> tables() const override { return {}; }
};

// 25 windows: blocks of 5, the rule of the errors of evaluations; in Mode::train 9 batches of 3: blocks of 2.
TEST(RunAnalyses, BlocksOfNeighbouringWindowsAreTheClusters) {
  const testing::TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(write_documents(folder, "a", 200, 1));
  const auto model = tiny_model(1);
  const AnalysisKind probe{"probe", "",
                           [](const AnalysisInput&) -> std::unique_ptr<Analysis> { return std::make_unique<Probe>(); },
                           [](const AnalysisInput&) { return 0.0; }};
  const auto clusters = [&](const ForwardOptions& options) {
    std::vector<std::unique_ptr<ObservationSource>> sources;
    sources.push_back(make_forward_source(model, nullptr, windows_of(dataset, 8, 0), options));
    seen_clusters.clear();
    run_analyses({&probe}, input_of(model, sources), sources, [](int64_t) {});
    return seen_clusters;
  };
  std::vector<int64_t> by_windows, by_batches;
  for (int64_t window = 0; window < 25; ++window) {
    by_windows.push_back(window / 5);
    by_batches.push_back(window / 3 / 2);
  }
  for (const int64_t batch_size : {1, 3, 16}) EXPECT_EQ(clusters({.batch_size = batch_size}), by_windows) << batch_size;
  EXPECT_EQ(clusters({.batch_size = 3, .mode = moe::Mode::train}), by_batches);
}

TEST(AnalysisBytes, GrowWithTheExperts) {
  AnalysisInput small;
  small.data = {{"a", 1000}};
  small.layers = {{0, 4, 2}};
  small.vocab_size = 16;
  small.sequence_length = 8;
  auto large = small;
  large.layers = {{0, 4096, 2}};
  const auto few = analysis_bytes(find_analyses({"load"}, ""), small),
             many = analysis_bytes(find_analyses({"load"}, ""), large);
  ASSERT_EQ(few.size(), 1u);
  EXPECT_EQ(few[0].name, "load");
  EXPECT_GT(many[0].bytes, 4096 * 8);
  EXPECT_LT(few[0].bytes, 10'000);  // 4 experts in 200 draws of the bootstrap are 6,400
}

}  // namespace
}  // namespace evenkeel::analysis
