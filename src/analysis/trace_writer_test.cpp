#include "analysis/trace_writer.h"

#include <gmock/gmock.h>

#include "analysis/test_support.h"
#include "checkpoint/safetensors.h"
#include "core/errors.h"
#include "ops/cross_entropy.h"

namespace evenkeel::analysis {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const auto kNoLogits = [](int64_t, int64_t) -> at::Tensor { throw std::logic_error("logits were not asked for"); };

TEST(TraceWriter, WritesTheTensorsOfTheContract) {
  const testing::TemporaryFolder folder;
  const auto model = tiny_model();
  const auto sequences = testing::random_ids(24, kTestVocabulary, 3).view({3, 8});
  const auto windows = windows_of(sequences);
  auto info = trace_info(model, *windows, 2);
  info.has_router_logits = info.has_logits = true;
  TraceWriter writer(folder / "t.safetensors", info);
  std::vector<Observation> seen;
  for (int64_t number = 0; number < 2; ++number) {
    const auto out = run_forward(model, nullptr, windows->next(2), number, {.batch_size = 2});
    writer.add(out.observation, [&](int64_t first, int64_t rows) {
      return ops::head_logits(out.hidden.narrow(0, first, rows), model.model.head(model.params));
    });
    seen.push_back(out.observation);
  }
  EXPECT_FALSE(fs::exists(folder / "t.safetensors"));
  writer.commit();
  EXPECT_THAT(folder.names(), ElementsAre("t.safetensors"));

  const checkpoint::SafetensorsFile file(folder / "t.safetensors");
  EXPECT_EQ(file.metadata().at("n_experts"), "4");
  EXPECT_EQ(file.metadata().at("capacity"), "dropless");
  EXPECT_TRUE(testing::same_bits(file.load("input_ids"), sequences));
  EXPECT_TRUE(file.load("is_padding").logical_not().all().item<bool>());
  const auto logits = file.load("logits");
  EXPECT_EQ(logits.sizes().vec(), (std::vector<int64_t>{3, 8, 16}));
  EXPECT_TRUE(testing::same_bits(logits.argmax(2).to(at::kInt), file.load("predicted_ids")));
  for (const int64_t layer : {0, 2}) {
    const auto named = [&](const char* name) { return file.load(trace_tensor(layer, name)); };
    EXPECT_EQ(named("expert_ids").sizes().vec(), (std::vector<int64_t>{3, 8, 2}));
    EXPECT_EQ(named("expert_ids").scalar_type(), at::kInt);
    // in descending order of the logits that selected them
    const auto chosen = named("router_logits").gather(2, named("expert_ids").to(at::kLong));
    EXPECT_TRUE(chosen.select(2, 0).ge(chosen.select(2, 1)).all().item<bool>());
    EXPECT_TRUE(testing::same_bits(named("weights").narrow(0, 2, 1).reshape({-1}),
                                   seen[1].routing[layer == 0 ? 0 : 1].weights));
    EXPECT_FALSE(named("dropped").any().item<bool>());
  }
  for (const auto& entry : file.entries()) EXPECT_EQ(entry.begin % c10::elementSize(entry.dtype), 0u) << entry.name;
}

TEST(TraceWriter, FillsUpTheLastWindow) {
  const testing::TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(write_documents(folder, "a", 12));
  const auto model = tiny_model();
  const auto windows = windows_of(dataset, 8, 0);
  auto info = trace_info(model, *windows, 4);
  info.has_logits = true;
  TraceWriter writer(folder / "t.safetensors", info);
  for (int64_t number = 0; number < 2; ++number) {
    const auto out = run_forward(model, nullptr, windows->next(4), number, {});
    writer.add(out.observation, [&](int64_t first, int64_t rows) {
      return ops::head_logits(out.hidden.narrow(0, first, rows), model.model.head(model.params));
    });
  }
  writer.commit();
  const checkpoint::SafetensorsFile file(folder / "t.safetensors");
  EXPECT_TRUE(testing::same_bits(file.load("is_padding"), at::arange(16).ge(11).view({2, 8})));
  EXPECT_EQ(file.load("target_ids")[1][3].item<int64_t>(), -1);
  EXPECT_EQ(file.load("document_ids")[1][7].item<int64_t>(), -1);
  EXPECT_FALSE(file.load("logits").narrow(0, 1, 1).narrow(1, 3, 5).any().item<bool>());
  EXPECT_TRUE(file.load("logits")[1][2].any().item<bool>());
}

TEST(TraceWriter, ListsTheAssignmentsOfOtherRouters) {
  const testing::TemporaryFolder folder;
  TraceInfo info;
  info.n_windows = 3;
  info.length = 3;
  info.n_experts = 4;
  info.top_k = 2;
  info.exactly_k = false;
  info.layers = {1, 5};
  info.capacity = "{}";
  TraceWriter writer(folder / "t.safetensors", info);
  auto batch = made_observation(2, 3, 0);
  batch.routing = {free_choice({{1}, {}, {0, 2, 3}, {3}, {}, {2}}, 4, 2), free_choice({{}, {}, {}, {}, {}, {}}, 4, 2)};
  batch.routing[0].dropped = at::tensor({0, 1, 0, 0, 0, 0}).to(at::kBool);
  auto last = made_observation(1, 2, 6);
  last.routing = {free_choice({{}, {1, 0}}, 4, 1), free_choice({{2}, {}}, 4, 1)};
  for (auto* observation : {&batch, &last}) {
    observation->routing[0].layer = 1;
    observation->routing[1].layer = 5;
    observation->routing[0].capacity = 3;
    writer.add(*observation, kNoLogits);
  }
  writer.commit();
  EXPECT_THAT(folder.names(), ElementsAre("t.safetensors"));
  const checkpoint::SafetensorsFile file(folder / "t.safetensors");
  const auto need =
      at::tensor({0, 1, 0, 2, 0, 0, 2, 2, 1, 2, 3, 2, 3, 3, 0, 5, 2, 0, 7, 1, 0, 7, 0, 1}, at::kInt).view({8, 3});
  EXPECT_TRUE(testing::same_bits(file.load("layers.1.assignments"), need));
  EXPECT_TRUE(testing::same_bits(file.load("layers.5.assignments"), at::tensor({6, 2, 0}, at::kInt).view({1, 3})));
  EXPECT_TRUE(testing::same_bits(file.load("layers.1.assignment_dropped"), at::arange(8).eq(1)));
  EXPECT_TRUE(testing::same_bits(file.load("layers.1.capacity"), at::tensor({3, 3, 3}, at::kInt)));
  EXPECT_EQ(file.find("layers.1.expert_ids"), nullptr);
  for (const auto& entry : file.entries()) EXPECT_EQ(entry.begin % c10::elementSize(entry.dtype), 0u) << entry.name;
}

TEST(TraceWriter, LeavesNothingWithoutCommit) {
  const testing::TemporaryFolder folder;
  {
    const auto model = tiny_model();
    const auto windows = windows_of(testing::random_ids(8, kTestVocabulary, 3).view({1, 8}));
    TraceWriter writer(folder / "t.safetensors", trace_info(model, *windows, 1));
    EXPECT_THROW(writer.commit(), std::logic_error);  // windows are missing
    writer.add(run_forward(model, nullptr, windows->next(1), 0, {}).observation, kNoLogits);
    EXPECT_THROW(writer.add(made_observation(1, 8, 0), kNoLogits), std::logic_error);  // one too many
  }
  EXPECT_TRUE(folder.names().empty());
}

TEST(TraceWriter, RefusesWhatDoesNotFit) {
  const testing::TemporaryFolder folder;
  TraceInfo info;
  info.n_windows = 1 << 20;
  info.length = 1 << 11;
  EXPECT_THAT(testing::message_of<ConfigError>([&] { TraceWriter(folder / "t", info); }),
              HasSubstr("got 2147483648 tokens; need fewer than 2147483647"));
  info.n_windows = (1 << 20) - 1;
  info.n_experts = info.top_k = 1 << 20;
  for (int64_t layer = 0; layer < 100; ++layer) info.layers.push_back(layer);
  EXPECT_THAT(testing::message_of<MachineError>([&] { TraceWriter(folder / "t", info); }),
              HasSubstr("of free disk; need "));
  EXPECT_THROW(TraceWriter(folder / "absent" / "t", TraceInfo{}), MachineError);
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace evenkeel::analysis
