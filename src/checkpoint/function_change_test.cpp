#include "checkpoint/function_change.h"

#include <cmath>

#include "checkpoint/families/test_folder.h"
#include "core/file_io.h"
#include "model/transformer.h"

namespace evenkeel::checkpoint {
namespace {

class FunctionChangeTest : public HfFolderTest {
 protected:
  // The folder as it is now, under a name of its own.
  ModelSource kept(const std::string& name) {
    write();
    fs::copy(folder_, root_ / name);
    return open_model(root_ / name);
  }
};

TEST_F(FunctionChangeTest, IsNoneOfAModelFromItself) {
  make_llama();
  const auto change = function_change(kept("a"), kept("b"), random_tokens(2, 5, 11, 1));
  EXPECT_EQ(change.n_tokens, 10);
  EXPECT_EQ(change.largest_logit_change, 0);
  EXPECT_EQ(change.kl, 0);
  EXPECT_EQ(change.loss, change.parent_loss);
}

// A head of zeros has equal logits: the loss is ln V, and KL(p || uniform) is ln V less the entropy of p.
TEST_F(FunctionChangeTest, HasItsFiguresByHand) {
  make_llama();
  const auto parent = kept("a");
  tensor("lm_head.weight").zero_();
  const auto other = kept("b");
  const auto tokens = random_tokens(3, 4, 11, 2);
  const auto change = function_change(parent, other, tokens);
  const model::Transformer model(parent.config);
  const auto params = load_params(parent);
  model::ModelInput input{tokens.narrow(1, 0, 4).contiguous()};
  input.mode = moe::Mode::eval;
  const auto logits = model.forward(params, {}, input).hidden.matmul(model.head(params).t()).to(at::kDouble);
  const auto log_p = logits.log_softmax(1);
  const double entropy = -(log_p.exp() * log_p).sum(1).mean().item<double>();
  EXPECT_NEAR(change.loss, std::log(11), 1e-12);
  EXPECT_NEAR(change.kl, std::log(11) - entropy, 1e-6);  // fp32 passes
  EXPECT_NEAR(change.mean_logit_change, logits.abs().mean().item<double>(), 1e-6);
  EXPECT_NEAR(change.parent_loss, -log_p.gather(1, tokens.narrow(1, 1, 4).reshape({-1, 1})).mean().item<double>(),
              1e-6);
}

TEST(RandomTokens, LieInTheVocabularyAndFollowTheSeed) {
  const auto tokens = random_tokens(4, 50, 7, 3);
  EXPECT_EQ(tokens.sizes(), (std::vector<int64_t>{4, 51}));
  EXPECT_EQ(tokens.min().item<int64_t>(), 0);
  EXPECT_EQ(tokens.max().item<int64_t>(), 6);
  EXPECT_TRUE(at::equal(tokens, random_tokens(4, 50, 7, 3)));
  EXPECT_FALSE(at::equal(tokens, random_tokens(4, 50, 7, 4)));
}

}  // namespace
}  // namespace evenkeel::checkpoint
