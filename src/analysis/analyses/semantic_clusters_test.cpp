#include <ATen/ops/cat.h>
#include <gtest/gtest.h>

#include "support/observations.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_semantic_clusters_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::Experts;
using testing::input_of;
using testing::number_in;
using testing::routing_of;
using testing::table_of;

// Every id ten times, to the expert that it belongs to.
std::vector<NamedTable> observed(const at::Tensor& embedding, const std::vector<int64_t>& expert_of, int64_t n_experts,
                                 uint64_t seed = 1) {
  const auto n_ids = static_cast<int64_t>(expert_of.size());
  auto input = input_of({{2, n_experts, 1}}, n_ids, 10 * n_ids);
  input.embedding = embedding;
  input.seed = seed;
  input.token_texts = {"zero", "<one>"};
  std::vector<int64_t> ids;
  Experts experts;
  for (int64_t n = 0; n < 10 * n_ids; ++n) {
    ids.push_back(n % n_ids);
    experts.push_back({expert_of[static_cast<size_t>(n % n_ids)]});
  }
  const auto analysis = make_semantic_clusters_analysis(input);
  analysis->observe(batch_of(ids, 10 * n_ids, {routing_of(experts, n_experts, 1, 2)}));
  EXPECT_TRUE(analysis->notes().empty());
  return analysis->tables();
}

TEST(SemanticClusters, AveragesTheCosinesOfPairsByHand) {
  // Expert 0: directions 0, 0 and 90 degrees (lengths differ); expert 1: one id; expert 2: opposite ones; id 6 has no
  // direction.
  const auto embedding =
      at::tensor({2.0f, 0.0f, 5.0f, 0.0f, 0.0f, 3.0f, 1.0f, 1.0f, 1.0f, 0.0f, -4.0f, 0.0f, 0.0f, 0.0f}).view({7, 2});
  const auto tables = observed(embedding, {0, 0, 0, 1, 2, 2, 2}, 3);
  const auto experts = table_of(tables, "semantic_clusters");
  EXPECT_NEAR(number_in(experts, {{"expert", 0}}, "coherence"), 1.0 / 3, 1e-6);  // fp32 cosines
  EXPECT_NEAR(number_in(experts, {{"expert", 2}}, "coherence"), -1.0, 1e-6);
  EXPECT_EQ(cell(experts, {{"expert", 2}}, "ids"), Json(2));
  EXPECT_TRUE(cell(experts, {{"expert", 1}}, "coherence").is_null());
  const auto tokens = table_of(tables, "semantic_cluster_tokens");  // the ids that were measured
  EXPECT_EQ(tokens.rows.size(), 6u);
  EXPECT_EQ(cell(tokens, {{"expert", 0}, {"rank", 1}}, "id"), Json(1));
  EXPECT_EQ(cell(tokens, {{"id", 1}}, "text"), Json("<one>"));
  EXPECT_EQ(cell(tokens, {{"id", 4}}, "expert"), Json(2));
  EXPECT_EQ(cell(tokens, {{"id", 4}}, "count"), Json(10));
  EXPECT_DOUBLE_EQ(number_in(tokens, {{"id", 4}}, "share"), 1.0);
  const auto layers = table_of(tables, "semantic_coherence");
  EXPECT_EQ(cell(layers, {}, "experts"), Json(2));
  EXPECT_NEAR(number_in(layers, {}, "coherence"), (1.0 / 3 - 1.0) / 2, 1e-6);
}

// [n, 16] directions: those of a group lie around their own axis.
at::Tensor grouped(const std::vector<int64_t>& group_of) {
  RngStream rng(4, "embedding");
  std::vector<float> values;
  for (const int64_t group : group_of)
    for (int64_t h = 0; h < 16; ++h)
      values.push_back(static_cast<float>(0.3 * rng.normal() + (h == group ? 1.0 : 0.0)));
  return at::tensor(values).view({-1, 16});
}

TEST(SemanticClusters, FindsPlantedGroupsAndNothingWhereThereIsNone) {
  std::vector<int64_t> by_group, by_number;
  for (int64_t id = 0; id < 48; ++id) {
    by_group.push_back(id / 6);
    by_number.push_back((id * 7 + 3) % 8);
  }
  const auto embedding = grouped(by_group);
  const auto planted = table_of(observed(embedding, by_group, 8), "semantic_coherence");
  EXPECT_DOUBLE_EQ(number_in(planted, {}, "p_value"), 1.0 / 1000);
  EXPECT_GT(number_in(planted, {}, "coherence"),
            number_in(planted, {}, "baseline") + 10 * number_in(planted, {}, "baseline_deviation"));
  const auto none = table_of(observed(embedding, by_number, 8), "semantic_coherence");
  EXPECT_GT(number_in(none, {}, "p_value"), 0.01);
  EXPECT_NEAR(number_in(none, {}, "coherence"), number_in(none, {}, "baseline"),
              4 * number_in(none, {}, "baseline_deviation"));
}

TEST(SemanticClusters, DrawsTheBaselineFromTheSeed) {
  const std::vector<int64_t> expert_of = {0, 1, 0, 1, 0, 1, 1, 0};
  const auto embedding = grouped({0, 0, 1, 1, 2, 2, 3, 3});
  const auto first = table_of(observed(embedding, expert_of, 2, 1), "semantic_clusters"),
             again = table_of(observed(embedding, expert_of, 2, 1), "semantic_clusters");
  const auto other = table_of(observed(embedding, expert_of, 2, 2), "semantic_clusters");
  EXPECT_EQ(first.rows, again.rows);
  EXPECT_NE(first.rows, other.rows);
  EXPECT_EQ(cell(first, {{"expert", 0}}, "coherence"), cell(other, {{"expert", 0}}, "coherence"));
}

TEST(SemanticClusters, NeedsEmbeddings) {
  const auto analysis = make_semantic_clusters_analysis(input_of({{0, 2, 1}}, 9, 1));
  analysis->observe(batch_of({0}, 1, {routing_of({{0}}, 2, 1)}));
  EXPECT_TRUE(analysis->tables().empty());
  EXPECT_EQ(analysis->notes().size(), 1u);
}

}  // namespace
}  // namespace evenkeel::analysis
