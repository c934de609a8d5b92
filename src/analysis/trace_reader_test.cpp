#include "analysis/trace_reader.h"

#include <gmock/gmock.h>

#include "analysis/test_support.h"
#include "analysis/trace_writer.h"
#include "core/errors.h"

namespace evenkeel::analysis {
namespace {

using checkpoint::NamedTensors;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const auto kNoLogits = [](int64_t, int64_t) -> at::Tensor { throw std::logic_error("logits were not asked for"); };

// Traces a data set; the observations as they were written, without router logits where the trace has none.
std::vector<Observation> write_trace(const fs::path& path, const LoadedModel& model,
                                     const data::IndexedDataset& dataset, int64_t batch_size, bool router_logits,
                                     moe::Mode mode = moe::Mode::eval) {
  const auto windows = windows_of(dataset, 8, 0);
  auto info = trace_info(model, *windows, batch_size);
  info.has_router_logits = router_logits;
  TraceWriter writer(path, info);
  std::vector<Observation> out;
  for (auto batch = windows->next(batch_size); batch.tokens.size(0) > 0; batch = windows->next(batch_size)) {
    out.push_back(
        run_forward(model, nullptr, batch, static_cast<int64_t>(out.size()), {.batch_size = batch_size, .mode = mode})
            .observation);
    writer.add(out.back(), kNoLogits);
    for (auto& decision : out.back().routing)
      if (!router_logits) decision.logits = at::Tensor();
  }
  writer.commit();
  return out;
}

void expect_source(ObservationSource& source, const std::vector<Observation>& need) {
  Observation batch;
  for (size_t i = 0; i < need.size(); ++i) {
    ASSERT_TRUE(source.next(batch)) << i;
    expect_same(batch, need[i], "batch " + std::to_string(i));
  }
  EXPECT_FALSE(source.next(batch));
}

TEST(TraceFile, GivesTheObservationsThatWereWritten) {
  const testing::TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(write_documents(folder, "a", 78));  // 9 windows of 8 and one of 5
  const auto model = tiny_model();
  for (const int64_t batch_size : {1, 4, 16})
    for (const bool router_logits : {false, true}) {
      const auto need = write_trace(folder / "t", model, dataset, batch_size, router_logits);
      const TraceFile trace(folder / "t");
      EXPECT_EQ(trace.n_tokens(), 77);
      EXPECT_EQ(trace.vocab_size(), kTestVocabulary);
      EXPECT_EQ(trace.info().has_router_logits, router_logits);
      ASSERT_EQ(trace.layers().size(), 2u);
      EXPECT_EQ(trace.layers()[1].layer, 2);
      expect_source(*trace.observations(), need);
    }
}

TEST(TraceFile, ReadsAssignmentsOfAnyNumber) {
  const testing::TemporaryFolder folder;
  TraceInfo info;
  info.name = info.model = "m";
  info.n_windows = 5;
  info.length = 3;
  info.n_experts = 4;
  info.top_k = 2;
  info.vocab_size = kTestVocabulary;
  info.batch_size = 2;
  info.exactly_k = false;
  info.layers = {1};
  std::vector<Observation> need = {made_observation(2, 3, 0), made_observation(2, 3, 6), made_observation(1, 2, 12)};
  need[0].routing = {free_choice({{1}, {}, {0, 2, 3}, {3}, {}, {2}}, 4, 2)};
  need[1].routing = {free_choice({{}, {}, {}, {}, {}, {}}, 4, 2)};
  need[2].routing = {free_choice({{}, {1, 0}}, 4, 1)};
  TraceWriter writer(folder / "t", info);
  for (auto& batch : need) {
    batch.routing[0].layer = 1;
    writer.add(batch, kNoLogits);
  }
  writer.commit();
  expect_source(*TraceFile(folder / "t").observations(), need);
}

// ---- files of other programs, and files that are wrong ----

std::map<std::string, std::string> plain_metadata() {
  return {{"name", "en"},   {"model", "m"},           {"n_experts", "4"},       {"top_k", "2"},
          {"mode", "eval"}, {"capacity", "dropless"}, {"tokenizer_sha256", ""}, {"format_version", "1"}};
}
// The contract's tensors for two windows of three tokens and layer 3, with what `changes` say in place of them.
NamedTensors plain_tensors(const NamedTensors& changes = {}) {
  NamedTensors out = {
      {"input_ids", at::tensor({1, 2, 3, 4, 5, 6}, at::kLong).view({2, 3})},
      {"predicted_ids", at::zeros({2, 3}, at::kInt)},
      {"document_ids", at::zeros({2, 3}, at::kInt)},
      {"layers.3.expert_ids", at::tensor({0, 1, 2, 3, 1, 0, 3, 2, 0, 2, 1, 3}, at::kInt).view({2, 3, 2})},
      {"layers.3.weights", at::full({2, 3, 2}, 0.5)},
      {"is_padding", at::zeros({2, 3}, at::kBool)},
      {"layers.3.dropped", at::zeros({2, 3, 2}, at::kBool)}};
  for (const auto& [name, tensor] : changes) {
    std::erase_if(out, [&](const auto& entry) { return entry.first == name; });
    if (tensor.defined()) out.emplace_back(name, tensor);
  }
  return out;
}

class ForeignTrace : public ::testing::Test {
 protected:
  TraceFile open(const NamedTensors& changes = {}, const std::map<std::string, std::string>& metadata = {}) const {
    auto all = plain_metadata();
    for (const auto& [key, value] : metadata) all[key] = value;
    checkpoint::write_safetensors(folder_ / "t", plain_tensors(changes), all);
    return TraceFile(folder_ / "t");
  }
  // The message of opening it and reading it to the end.
  std::string message(const NamedTensors& changes, const std::map<std::string, std::string>& metadata = {}) const {
    const auto text = testing::message_of<DataError>([&] {
      const auto source = open(changes, metadata).observations();
      for (Observation batch; source->next(batch);) {
      }
    });
    EXPECT_THAT(text, StartsWith((folder_ / "t").string()));
    EXPECT_THAT(text, HasSubstr("; need "));
    return text;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(ForeignTrace, NeedsTheContractsTensorsAlone) {
  const auto trace = open();
  EXPECT_EQ(trace.vocab_size(), 7);  // the largest id that occurs, and 1
  const auto source = trace.observations();
  Observation batch;
  ASSERT_TRUE(source->next(batch));
  EXPECT_TRUE(testing::same_bits(batch.target_ids, at::tensor({2, 3, -1}, at::kLong).view({1, 3})));
  EXPECT_TRUE(testing::same_bits(batch.routing[0].expert_ids, at::tensor({0, 1, 2, 3, 1, 0}, at::kLong)));
  EXPECT_EQ(batch.routing[0].layer, 3);
  EXPECT_FALSE(batch.routing[0].dropped.defined());
  ASSERT_TRUE(source->next(batch));
  EXPECT_FALSE(source->next(batch));
}

TEST_F(ForeignTrace, PaddingMayBeAnywhere) {
  const auto padding = at::tensor({1, 0, 0, 1, 1, 1}).to(at::kBool).view({2, 3});
  const auto ids = at::tensor({999, 2, 3, 4, 5, 6}, at::kLong).view({2, 3});  // what padding says is not read
  const auto trace = open({{"is_padding", padding}, {"input_ids", ids}}, {{"vocab_size", "7"}});
  EXPECT_EQ(trace.n_tokens(), 2);
  const auto source = trace.observations();
  Observation batch;
  ASSERT_TRUE(source->next(batch));
  EXPECT_TRUE(testing::same_bits(batch.is_padding, padding.narrow(0, 0, 1)));
  EXPECT_TRUE(testing::same_bits(batch.routing[0].is_padding, padding[0]));
  EXPECT_FALSE(source->next(batch));  // a window of padding alone is none
}

TEST_F(ForeignTrace, RefusesTensorsThatDoNotFit) {
  EXPECT_THAT(message({{"input_ids", {}}}), HasSubstr("got no tensor 'input_ids'; need a trace file"));
  EXPECT_THAT(message({{"input_ids", at::zeros({6}, at::kLong)}}),
              HasSubstr("input_ids: got shape [6]; need [windows, tokens]"));
  EXPECT_THAT(message({{"input_ids", at::zeros({0, 3}, at::kLong)}}), HasSubstr("input_ids: got shape [0, 3]"));
  EXPECT_THAT(message({{"input_ids", at::zeros({2, 3})}}), HasSubstr("input_ids: got type F32; need I64"));
  EXPECT_THAT(message({{"predicted_ids", at::zeros({2, 4}, at::kInt)}}),
              HasSubstr("predicted_ids: got shape [2, 4]; need [2, 3]"));
  EXPECT_THAT(message({{"is_padding", at::zeros({2, 3}, at::kInt)}}), HasSubstr("is_padding: got type I32; need BOOL"));
  EXPECT_THAT(message({{"layers.3.weights", {}}}), HasSubstr("got no tensor 'layers.3.weights'"));
  EXPECT_THAT(message({{"layers.3.expert_ids", at::zeros({2, 3, 3}, at::kInt)}}),
              HasSubstr("layers.3.expert_ids: got shape [2, 3, 3]; need [2, 3, 2]"));
  EXPECT_THAT(message({{"layers.3.expert_ids", {}}}), HasSubstr("got 0 MoE layers with n_experts 4 in the metadata"));
  EXPECT_THAT(message({{"layers.4.assignments", at::zeros({1, 3}, at::kInt)}}),
              HasSubstr("got layers with expert_ids and layers with assignments"));
  EXPECT_THAT(message({{"layers.3.router_logits", at::zeros({2, 3, 5})}}),
              HasSubstr("layers.3.router_logits: got shape [2, 3, 5]; need [2, 3, 4]"));
  EXPECT_THAT(message({{"layers.4.router_logits", at::zeros({2, 3, 4})}}),
              HasSubstr("got router_logits of 1 layers; need those of all 1 or none"));
  EXPECT_THAT(message({{"logits", at::zeros({2, 3})}}), HasSubstr("logits: got shape [2, 3]"));
  EXPECT_THAT(message({{"logits", at::zeros({2, 3, 9})}}, {{"vocab_size", "7"}}),
              HasSubstr("logits: got 9 ids; need 7"));
}

TEST_F(ForeignTrace, RefusesPaddingAlone) {
  EXPECT_THAT(message({{"is_padding", at::full({2, 3}, true, at::kBool)}}),
              HasSubstr("is_padding: got padding alone; need a token that is counted"));
}

TEST_F(ForeignTrace, RefusesMetadataThatDoNotFit) {
  EXPECT_THAT(message({}, {{"top_k", "5"}}), HasSubstr("metadata top_k: got '5'"));
  EXPECT_THAT(message({}, {{"top_k", "1"}}), HasSubstr("layers.3.expert_ids: got shape [2, 3, 2]; need [2, 3, 1]"));
  EXPECT_THAT(message({}, {{"n_experts", "1000000000"}}), HasSubstr("metadata n_experts"));
  EXPECT_THAT(message({}, {{"n_experts", "3"}}), HasSubstr("layer 3: got expert 3; need different experts of 0..2"));
  EXPECT_NO_THROW(open({}, {{"n_layers", "1000000000"}}));  // what is not asked for is not read
}

TEST_F(ForeignTrace, RefusesIdsOutOfRange) {
  EXPECT_THAT(message({{"input_ids", at::tensor({1, 2, 3, 4, -5, 6}, at::kLong).view({2, 3})}}),
              HasSubstr("input_ids of window 1, place 1: got -5; need 0..6"));
  EXPECT_THAT(message({}, {{"vocab_size", "5"}}), HasSubstr("input_ids of window 1, place 1: got 5; need 0..4"));
  EXPECT_THAT(message({{"input_ids", at::full({2, 3}, int64_t{1} << 40, at::kLong)}}),
              HasSubstr("got token id 1099511627776; need at most"));
  EXPECT_THAT(message({{"target_ids", at::full({2, 3}, -2, at::kInt)}}),
              HasSubstr("target_ids of window 0, place 0: got -2; need -1..6"));
  EXPECT_THAT(message({{"layers.3.expert_ids", at::full({2, 3, 2}, 4, at::kInt)}}),
              HasSubstr("layer 3: got expert 4; need different experts of 0..3"));
  EXPECT_THAT(message({{"layers.3.expert_ids", at::full({2, 3, 2}, -1, at::kInt)}}),
              HasSubstr("layer 3: got expert -1"));
  EXPECT_THAT(message({{"layers.3.expert_ids", at::full({2, 3, 2}, 1, at::kInt)}}),
              HasSubstr("layer 3: got expert 1 twice for a token"));
  EXPECT_THAT(message({{"layers.3.router_logits", at::full({2, 3, 4}, std::nan(""))}}),
              HasSubstr("a value that is not finite"));
  EXPECT_THAT(message({{"layers.3.capacity", at::full({2}, -1, at::kInt)}}), HasSubstr("layers.3.capacity: got -1"));
  EXPECT_THAT(message({{"layers.3.weights", at::full({2, 3, 2}, std::nan(""), at::kFloat)}}),
              HasSubstr("layer 3, weights of windows from 0 on: got a value that is not finite; need finite weights"));
}

TEST_F(ForeignTrace, RefusesAssignmentsOutOfOrder) {
  const auto rows = [&](const std::vector<int64_t>& values) {
    return message({{"layers.3.expert_ids", {}},
                    {"layers.3.weights", {}},
                    {"layers.3.dropped", {}},
                    {"layers.3.assignments", at::tensor(values, at::kInt).view({-1, 3})}});
  };
  EXPECT_THAT(rows({1, 0, 0, 0, 0, 0}),
              HasSubstr("layers.3.assignments, row 1: got token 0 with rank 0; need tokens in ascending order"));
  EXPECT_THAT(rows({0, 0, 0, 0, 1, 2}), HasSubstr("row 1: got token 0 with rank 2"));
  EXPECT_THAT(rows({-1, 0, 0}), HasSubstr("row 0: got token -1"));
  EXPECT_THAT(rows({0, 0, 0, 6, 0, 0}), HasSubstr("row 1: got a token beyond the windows; need 0..5"));
  EXPECT_THAT(rows({0, 4, 0}), HasSubstr("got expert 4"));
  EXPECT_THAT(rows({0, 1, 0, 0, 1, 1}), HasSubstr("got expert 1 twice"));
}

TEST_F(ForeignTrace, RefusesEveryTruncationAndSurvivesEveryChangedByte) {
  open();
  const std::string whole = read_file(folder_ / "t");
  const auto read_all = [&](const std::string& bytes) {
    folder_.write("t", bytes);
    try {
      const auto source = TraceFile(folder_ / "t").observations();
      for (Observation batch; source->next(batch);) {
      }
      return true;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return false;
    }
  };
  EXPECT_TRUE(read_all(whole));
  for (size_t size = 0; size < whole.size(); size += 7) EXPECT_FALSE(read_all(whole.substr(0, size))) << size;
  RngStream rng(1, "changed bytes");
  for (int i = 0; i < 500; ++i) {
    std::string changed = whole;
    changed[rng.below(changed.size())] = static_cast<char>(rng.below(256));
    read_all(changed);  // refused with one line, or read: never a crash
  }
}

TEST(WithReference, PairsTracesOfTheSameTokens) {
  const testing::TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(write_documents(folder, "a", 78, 1)),
             other = data::IndexedDataset::open(write_documents(folder, "b", 78, 2));
  auto need = write_trace(folder / "first", tiny_model(1), dataset, 4, false);
  const auto second = write_trace(folder / "second", tiny_model(2), dataset, 4, false);
  const auto paired =
      with_reference(TraceFile(folder / "first").observations(), TraceFile(folder / "second").observations(), "w");
  Observation batch;
  for (size_t i = 0; i < need.size(); ++i) {
    ASSERT_TRUE(paired->next(batch));
    ASSERT_EQ(batch.reference.size(), 2u);
    expect_same(batch.reference[1], second[i].routing[1], "reference");
    expect_same(batch.routing[1], need[i].routing[1], "model");
  }
  EXPECT_FALSE(paired->next(batch));
  write_trace(folder / "third", tiny_model(2), other, 4, false);
  const auto wrong = with_reference(TraceFile(folder / "first").observations(),
                                    TraceFile(folder / "third").observations(), "third.st");
  EXPECT_THAT(testing::message_of<DataError>([&] { wrong->next(batch); }), HasSubstr("third.st: got other tokens"));
}

}  // namespace
}  // namespace evenkeel::analysis
