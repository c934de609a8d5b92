// What every registered analysis keeps, whatever it is given.
#include <set>

#include <ATen/Parallel.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analysis/id_tally.h"
#include "core/errors.h"
#include "support/files.h"
#include "support/gradients.h"
#include "support/observations.h"

namespace evenkeel::analysis {
namespace {

using testing::Experts;

constexpr int64_t kVocabulary = 23, kLength = 12;

struct Shape {
  int64_t n_experts = 6, top_k = 2;
  bool exactly_k = true;
};

// One layer's decision; where the router does not give exactly k, tokens have 0 .. E experts.
moe::RoutingDecision random_decision(const Shape& shape, int64_t n_tokens, int64_t layer, uint64_t seed) {
  auto experts =
      testing::uniform_experts(n_tokens, shape.n_experts, shape.exactly_k ? shape.top_k : shape.n_experts, seed);
  RngStream rng(seed, "contract");
  if (!shape.exactly_k)
    for (auto& of_token : experts) of_token.resize(rng.below(of_token.size() + 1));
  auto decision = testing::routing_of(experts, shape.n_experts, shape.top_k, layer);
  decision.logits = testing::random_tensor({n_tokens, shape.n_experts}, seed).to(at::kFloat);
  decision.dropped = testing::random_ids(decision.expert_ids.size(0), 4, seed).eq(0);
  decision.capacity = 7;
  return decision;
}

// Two MoE layers with all that can be known of them.
Observation random_batch(const Shape& shape, int64_t n_sequences, uint64_t seed) {
  const int64_t T = n_sequences * kLength;
  auto batch = testing::batch_of(testing::uniform_ids(T, kVocabulary, seed), kLength, {});
  batch.predicted_ids = testing::random_ids(T, kVocabulary, seed + 1).view({-1, kLength});
  batch.document_ids = testing::random_ids(T, 3, seed + 2).view({-1, kLength}).to(at::kInt);
  batch.is_padding = testing::random_ids(T, 6, seed + 3).eq(0).view({-1, kLength});
  for (const int64_t layer : {1, 3}) {
    batch.routing.push_back(random_decision(shape, T, layer, seed + static_cast<uint64_t>(10 * layer)));
    batch.reference.push_back(random_decision(shape, T, layer, seed + static_cast<uint64_t>(10 * layer + 5)));
  }
  for (auto* routing : {&batch.routing, &batch.reference})
    for (auto& decision : *routing) {
      decision.is_padding = batch.is_padding.view({-1});
      decision.n_sequences = n_sequences;
    }
  return batch;
}

// Sequences first .. first + count - 1, as if they had come alone.
Observation part_of(const Observation& batch, int64_t first, int64_t count) {
  const auto rows = [&](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.narrow(0, first, count).contiguous() : tensor;
  };
  Observation out;
  out.data = batch.data;
  out.input_ids = rows(batch.input_ids);
  out.target_ids = rows(batch.target_ids);
  out.predicted_ids = rows(batch.predicted_ids);
  out.document_ids = rows(batch.document_ids);
  out.is_padding = rows(batch.is_padding);
  const int64_t begin = first * kLength, end = (first + count) * kLength;
  const auto part = [&](const moe::RoutingDecision& whole) {
    auto decision = whole;
    const auto mine = whole.token_ids.ge(begin).logical_and(whole.token_ids.lt(end));
    decision.n_tokens = end - begin;
    decision.n_sequences = count;
    decision.token_ids = whole.token_ids.masked_select(mine) - begin;
    decision.expert_ids = whole.expert_ids.masked_select(mine);
    decision.weights = whole.weights.masked_select(mine);
    if (whole.dropped.defined()) decision.dropped = whole.dropped.masked_select(mine);
    if (whole.logits.defined()) decision.logits = whole.logits.narrow(0, begin, end - begin).contiguous();
    if (whole.is_padding.defined()) decision.is_padding = whole.is_padding.narrow(0, begin, end - begin).contiguous();
    return decision;
  };
  for (const auto& decision : batch.routing) out.routing.push_back(part(decision));
  for (const auto& decision : batch.reference) out.reference.push_back(part(decision));
  return out;
}

AnalysisInput input_of(const Shape& shape) {
  auto input = testing::input_of({{1, shape.n_experts, shape.top_k}, {3, shape.n_experts, shape.top_k}}, kVocabulary,
                                 kLength, {"a", "b"});
  input.reference = "reference";
  input.token_texts.assign(kVocabulary, "text");
  input.embedding = testing::random_tensor({kVocabulary, 5}, 7).to(at::kFloat);
  input.minimum_count = 2;
  return input;
}

struct Outcome {
  std::vector<NamedTable> tables;
  std::vector<std::string> notes;
};
void expect_same(const Outcome& left, const Outcome& right) {
  EXPECT_EQ(left.notes, right.notes);
  ASSERT_EQ(left.tables.size(), right.tables.size());
  for (size_t i = 0; i < left.tables.size(); ++i) {
    EXPECT_EQ(left.tables[i].name, right.tables[i].name);
    EXPECT_EQ(to_json(left.tables[i].table), to_json(right.tables[i].table)) << left.tables[i].name;
  }
}

void check_table(const NamedTable& named, int64_t n_tokens) {
  const auto& [name, table, csv_only] = named;
  SCOPED_TRACE(name);
  EXPECT_FALSE(table.source.empty());
  EXPECT_EQ(table.tokens.value_or(0), n_tokens);  // null where nothing was seen
  std::set<std::string> columns;
  for (const auto& column : table.columns) {
    EXPECT_TRUE(columns.insert(column.name).second) << column.name;
    EXPECT_LT(column.unit.size(), 20u) << column.unit;
  }
  for (const auto& row : table.rows) {
    ASSERT_EQ(row.size(), table.columns.size());
    for (size_t i = 0; i < row.size(); ++i) {
      EXPECT_TRUE(!row[i].is_number() || std::isfinite(row[i].as_double())) << table.columns[i].name;
      EXPECT_FALSE(row[i].is_array() || row[i].is_object());
    }
  }
  EXPECT_EQ(to_json(table_from_json(to_json(table))), to_json(table));
}

class AnalysisContract : public ::testing::TestWithParam<AnalysisKind> {
 protected:
  Outcome run(const AnalysisInput& input, const std::vector<Observation>& batches) const {
    const auto analysis = GetParam().make(input);
    int64_t n_tokens = 0;
    for (const auto& batch : batches) {
      analysis->observe(batch);
      n_tokens +=
          batch.is_padding.defined() ? batch.is_padding.logical_not().sum().item<int64_t>() : batch.input_ids.numel();
    }
    Outcome out{analysis->tables(), analysis->notes()};
    for (const auto& table : out.tables) check_table(table, n_tokens);
    return out;
  }
};

const Shape kShapes[] = {{6, 2, true}, {6, 1, true}, {4, 4, true}, {1, 1, true}, {5, 2, false}, {70, 3, true}};

TEST_P(AnalysisContract, DoesNotDependOnTheSplitIntoBatches) {
  for (const auto& shape : kShapes) {
    auto a = random_batch(shape, 6, 1), b = random_batch(shape, 3, 100);
    b.data = 1;
    const auto whole = run(input_of(shape), {a, b});
    std::vector<Observation> singly, mixed = {part_of(a, 0, 1), b, part_of(a, 1, 5)};
    for (int64_t i = 0; i < 6; ++i) singly.push_back(part_of(a, i, 1));
    for (int64_t i = 0; i < 3; ++i) singly.push_back(part_of(b, i, 1));
    expect_same(run(input_of(shape), singly), whole);
    expect_same(run(input_of(shape), mixed), whole);
  }
}

TEST_P(AnalysisContract, DoesNotDependOnTheThreads) {
  const auto batch = random_batch(kShapes[0], 6, 1);
  const int n_threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = run(input_of(kShapes[0]), {batch});
  at::set_num_threads(2);
  const auto two = run(input_of(kShapes[0]), {batch});
  at::set_num_threads(n_threads);
  expect_same(one, two);
}

TEST_P(AnalysisContract, TakesNothingOneTokenAndPaddingAlone) {
  for (const auto& shape : kShapes) {
    const auto batch = random_batch(shape, 2, 5);
    run(input_of(shape), {});
    const auto nothing = run(input_of(shape), {part_of(batch, 0, 0)});
    auto padding = batch;
    padding.is_padding = at::ones({2, kLength}, at::kBool);
    for (auto* routing : {&padding.routing, &padding.reference})
      for (auto& decision : *routing) decision.is_padding = padding.is_padding.view({-1});
    const auto only_padding = run(input_of(shape), {padding});
    for (const auto& [name, table, csv_only] : only_padding.tables)  // no figure comes from padding
      for (const auto& row : table.rows)
        for (size_t i = 0; i < row.size(); ++i)
          if (table.columns[i].unit == "tokens" && table.columns[i].name != "minimum_count" &&
              table.columns[i].name.find("capacity") == std::string::npos) {
            EXPECT_TRUE(row[i].is_null() || row[i].as_double() == 0) << name;
          }
    auto one = batch;
    one.is_padding = at::ones({2, kLength}, at::kBool);
    one.is_padding[1][4] = false;
    for (auto* routing : {&one.routing, &one.reference})
      for (auto& decision : *routing) decision.is_padding = one.is_padding.view({-1});
    run(input_of(shape), {one});
  }
}

TEST_P(AnalysisContract, AddsPaddingToNothing) {
  // A batch and a batch of padding give what the batch alone gives.
  const auto batch = random_batch(kShapes[0], 3, 5);
  auto padding = random_batch(kShapes[0], 2, 6);
  padding.is_padding = at::ones({2, kLength}, at::kBool);
  for (auto* routing : {&padding.routing, &padding.reference})
    for (auto& decision : *routing) decision.is_padding = padding.is_padding.view({-1});
  expect_same(run(input_of(kShapes[0]), {batch, padding}), run(input_of(kShapes[0]), {batch}));
}

TEST_P(AnalysisContract, SaysWhatIsMissing) {
  for (const auto& shape : kShapes) {
    auto input = input_of(shape);
    input.reference.clear();
    input.embedding = at::Tensor();
    input.token_texts.clear();
    auto batch = random_batch(shape, 3, 9);
    batch.predicted_ids = at::Tensor();
    batch.is_padding = at::Tensor();
    batch.reference.clear();
    for (auto& decision : batch.routing) {
      decision.logits = at::Tensor();
      decision.dropped = at::Tensor();
      decision.is_padding = at::Tensor();
      decision.capacity = 0;
    }
    const auto out = run(input, {batch});
    EXPECT_TRUE(!out.tables.empty() || !out.notes.empty());  // nothing goes missing without a word
    for (const auto& note : out.notes) EXPECT_EQ(note.find('\n'), std::string::npos);
  }
}

TEST_P(AnalysisContract, GivesTheSameWithSharedTallies) {
  const auto batch = random_batch(kShapes[0], 4, 3);
  auto shared = input_of(kShapes[0]);
  shared.tallies = std::make_shared<IdTallies>();
  std::vector<std::unique_ptr<Analysis>> all;
  size_t mine = 0;
  for (const auto& kind : analysis_kinds()) {
    if (kind.name == std::string(GetParam().name)) mine = all.size();
    all.push_back(kind.make(shared));
  }
  for (const auto& analysis : all) analysis->observe(batch);
  expect_same({all[mine]->tables(), all[mine]->notes()}, run(input_of(kShapes[0]), {batch}));
}

TEST_P(AnalysisContract, RefusesRoutingOfAnotherShape) {
  const auto observe = [&](const Observation& batch) {
    const auto analysis = GetParam().make(input_of(kShapes[0]));
    return testing::message_of<DataError>([&] { analysis->observe(batch); });
  };
  const auto batch = random_batch(kShapes[0], 2, 3);
  auto fewer = batch;
  fewer.routing.pop_back();
  fewer.reference.pop_back();
  EXPECT_THAT(observe(fewer), ::testing::HasSubstr("got 1 MoE layers; need 2"));
  auto others = random_batch({7, 2, true}, 2, 3);
  EXPECT_THAT(observe(others), ::testing::HasSubstr("7 experts"));
}

TEST_P(AnalysisContract, PredictsBytesThatGrowWithTheModel) {
  auto small = input_of(kShapes[0]), large = small;
  for (auto& layer : large.layers) layer.n_experts *= 4;
  large.data[0].n_tokens = large.data[1].n_tokens = 1'000'000;
  EXPECT_GT(GetParam().bytes(small), 0);
  EXPECT_GE(GetParam().bytes(large), GetParam().bytes(small));
}

TEST(AnalysisTables, HaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (const auto& kind : analysis_kinds()) {
    const auto analysis = kind.make(input_of(kShapes[0]));
    analysis->observe(random_batch(kShapes[0], 2, 3));
    for (const auto& table : analysis->tables()) EXPECT_TRUE(names.insert(table.name).second) << table.name;
  }
  for (const char* name : {"saturation", "load", "domain_specialization", "domain_similarity", "token_specialization",
                           "coactivation", "vocabulary_specialization", "temporal_locality", "drop_by_position"})
    EXPECT_TRUE(names.count(name)) << name;
}

INSTANTIATE_TEST_SUITE_P(All, AnalysisContract, ::testing::ValuesIn(analysis_kinds()),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace evenkeel::analysis
