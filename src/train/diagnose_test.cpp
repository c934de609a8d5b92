#include "train/diagnose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/gradients.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kOneExpert = "model={n_experts = 1, top_k = 1, n_layers = 1, router = {score = \"softmax_post\"}}";

struct Case {
  explicit Case(const std::vector<std::string>& overrides) : config(testing::tiny_config("/data", overrides)), model(config.model), state(initial_state(config, model, at::kCPU)) {
    batch.tokens = testing::random_ids(32, testing::kTinyVocabulary, 1).view({4, 8});
    batch.targets = testing::random_ids(32, testing::kTinyVocabulary, 2).view({4, 8});
  }
  std::vector<std::string> findings(const optim::RateFactors& factors = {}) const { return diagnose(model, factors, batch, state); }
  RunConfig config;
  model::Transformer model;
  TrainState state;
  data::Batch batch;
};

TEST(Diagnose, FindsNothingWhereAllIsWell) {
  const Case balanced({});
  EXPECT_THAT(balanced.findings(), IsEmpty());
  for (const auto& [name, tensor] : balanced.state.params) EXPECT_FALSE(tensor.grad().defined()) << name;
  EXPECT_THAT(Case({"model.balance={loss = []}", "model.router={kind = \"sinkhorn\"}"}).findings(), IsEmpty());
  EXPECT_THAT(Case(testing::kTinyDense).findings(), IsEmpty());
}

TEST(Diagnose, FindsARouterThatTheCrossEntropyDoesNotReach) {
  const Case constant({kOneExpert, "model.balance={loss = [], z_coefficient = 0.001}"});  // a softmax over one logit is 1
  EXPECT_THAT(constant.findings(), ::testing::Contains(AllOf(HasSubstr("layers.0.router.weight"), HasSubstr("no gradient from the cross-entropy"))));
  Case silent({});
  silent.state.params.at("layers.1.experts.down").detach().zero_();  // all experts say the same: nothing to choose
  EXPECT_THAT(silent.findings(), ElementsAre(HasSubstr("layers.1.router.weight gets no gradient from the cross-entropy")));
}

TEST(Diagnose, FindsACoefficientThatChangesNothing) {
  const Case constant({kOneExpert});  // the probability of the only expert is 1 whatever its weights
  EXPECT_THAT(constant.findings(), ::testing::Contains(AllOf(HasSubstr("the balance loss with coefficient 0.01"), HasSubstr("layers.0.router.weight"))));
  EXPECT_THAT(constant.findings(), ::testing::Not(::testing::Contains(HasSubstr("the z loss"))));  // z = l^2 has a gradient
}

TEST(Diagnose, FindsARouterWithoutBalance) {
  const Case bare({"model.balance={loss = []}"});
  EXPECT_THAT(bare.findings(), ElementsAre(AllOf(HasSubstr("'top_k'"), HasSubstr("no balance loss"))));
  const Case only_z({"model.balance={loss = [], z_coefficient = 0.001}"});
  EXPECT_THAT(only_z.findings(), ElementsAre(HasSubstr("no balance loss")));
}

// Routers that learn nothing have nothing to find; expert choice sees later tokens.
TEST(Diagnose, KnowsRoutersThatAreNotPlainTokenChoice) {
  for (const std::string kind : {"base", "hash", "random", "uniform"})
    EXPECT_THAT(Case({"model.top_k=1", "model.balance={loss = []}", "model.router={kind = \"" + kind + "\"}"}).findings(), IsEmpty()) << kind;
  EXPECT_THAT(Case({"model.balance={loss = []}", "model.router={kind = \"expert_choice\"}"}).findings(), ElementsAre(AllOf(HasSubstr("'expert_choice'"), HasSubstr("is not causal"))));
}

// As the trainer freezes: the tensor requires no gradient.
TEST(Diagnose, AFrozenRouterIsMeantToBeStill) {
  Case frozen({});
  frozen.state.params.at("layers.0.router.weight").set_requires_grad(false);
  EXPECT_THAT(frozen.findings({{"layers.0.router.weight", 0.0}}), IsEmpty());
  frozen.state.params.at("layers.1.router.weight").set_requires_grad(false);
  EXPECT_THAT(frozen.findings({{"layers.0.router.weight", 0.0}, {"layers.1.router.weight", 0.0}}), IsEmpty());
}

}  // namespace
}  // namespace evenkeel::train
