#include "model/batch_passes.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "model/init.h"
#include "support/gradients.h"
#include "support/held_weights.h"

namespace evenkeel::model {
namespace {

constexpr int64_t kLength = 6;

// Batches of 2 sequences, the last of 1, through one model in memory or stored.
class BatchPassesTest : public ::testing::Test {
 protected:
  BatchPassesTest() {
    for (int64_t n = 0; n < 5; ++n) {
      const int64_t rows = n < 4 ? 2 : 1;
      data::Batch batch;
      batch.tokens = testing::random_ids(rows * kLength, 12, static_cast<uint64_t>(n)).view({rows, kLength});
      batches_.push_back(batch);
    }
  }
  BatchPasses passes(std::vector<ModelValues> models) {
    next_ = 0;
    return {std::move(models),
            [this] {
              return next_ < batches_.size() ? batches_[next_++] : data::Batch{at::zeros({0, 0}), {}, {}, {}, {}, {}};
            },
            [](const data::Batch& batch, int64_t number, const ModelValues&) {
              ModelInput input{.tokens = batch.tokens};
              input.seed = static_cast<uint64_t>(number);  // the random router shows which it was
              return input;
            }};
  }
  Snapshot held() const { return {params_, states_}; }
  Snapshot stored(double group_bytes) const { return {none_, states_, &weights_, group_bytes}; }

  Transformer model_{
      read_model_config(parse_toml("vocab_size = 12\nd_model = 8\nn_layers = 2\nn_heads = 2\nn_experts = 4\ntop_k = 2\n"
                                   "d_expert = 5\nrouter = {kind = \"random\"}\nbalance = {loss = []}",
                                   "m.toml", ""))};
  ops::Params params_ = init_params(model_.config(), 5), none_;
  std::vector<ops::Params> states_ = model_.initial_router_states();
  testing::HeldWeights weights_{params_};
  std::vector<data::Batch> batches_;
  size_t next_ = 0;
  const at::NoGradGuard no_grad_;
};

TEST_F(BatchPassesTest, GiveTheSameWhateverTheGroup) {
  const double of_batch = model_.bytes_between_layers() * 2 * kLength;
  int64_t n_made = 0;
  for (const auto& [group_bytes, n_groups] :
       std::vector<std::pair<double, int64_t>>{{0, 5}, {of_batch, 5}, {2 * of_batch, 3}, {3 * of_batch, 2}, {1e9, 1}}) {
    auto both = passes({{model_, stored(group_bytes)}, {model_, held()}});
    size_t n = 0;
    for (; const auto pass = both.next(); ++n) {
      ASSERT_LT(n, batches_.size());
      EXPECT_TRUE(pass->batch.tokens.is_same(batches_[n].tokens));
      const auto &got = pass->outputs[0], &need = pass->outputs[1];
      EXPECT_TRUE(testing::same_bits(got.hidden, need.hidden));
      EXPECT_TRUE(testing::same_bits(got.routing[1].expert_ids, need.routing[1].expert_ids));
      EXPECT_TRUE(testing::same_bits(pass->head, params_.at("head.weight")));
    }
    EXPECT_EQ(n, batches_.size());
    EXPECT_FALSE(both.next().has_value());
    EXPECT_EQ(weights_.n_whole("embedding.weight") - n_made, n_groups) << group_bytes;
    EXPECT_EQ(weights_.n_whole("head.weight"), weights_.n_whole("embedding.weight"));
    n_made = weights_.n_whole("embedding.weight");
  }
}

// Two stored models share what the smaller of their limits is.
TEST_F(BatchPassesTest, CountWhatEveryStoredModelKeeps) {
  const double of_batch = model_.bytes_between_layers() * 2 * kLength;
  auto two = passes({{model_, stored(1e9)}, {model_, stored(4 * of_batch)}});
  while (two.next().has_value()) continue;
  EXPECT_EQ(weights_.n_whole("final_norm.weight"), 2 * 3);  // groups of 2, 2 and 1
  EXPECT_EQ(weights_.n_whole("head.weight"), 3);            // of the first model
}

TEST_F(BatchPassesTest, ReadNoBatchAheadOfAModelInMemory) {
  auto one = passes({{model_, held()}});
  for (size_t n = 1; one.next().has_value(); ++n) EXPECT_EQ(next_, n);
  EXPECT_EQ(next_, batches_.size());
  EXPECT_EQ(weights_.n_whole("embedding.weight"), 0);
}

}  // namespace
}  // namespace evenkeel::model
