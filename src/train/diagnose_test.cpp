#include "train/diagnose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/gradients.h"
#include "support/made_lines.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kOneExpert =
    "model={n_experts = 1, top_k = 1, n_layers = 1, router = {score = \"softmax_post\"}}";

struct Case {
  explicit Case(const std::vector<std::string>& overrides)
      : config(testing::tiny_config("/data", overrides)),
        model(config.model),
        state(initial_state(config, model, at::kCPU)) {
    batch.tokens = testing::random_ids(32, testing::kTinyVocabulary, 1).view({4, 8});
    batch.targets = testing::random_ids(32, testing::kTinyVocabulary, 2).view({4, 8});
  }
  std::vector<std::string> findings() const { return alarm_sentences(diagnose(model, batch, state)); }
  RunConfig config;
  model::Transformer model;
  TrainState state;
  data::Batch batch;
};

data::Batch rows_of(const data::Batch& batch, int64_t begin, int64_t end) {
  data::Batch out;
  out.tokens = batch.tokens.slice(0, begin, end);
  out.targets = batch.targets.slice(0, begin, end);
  return out;
}

// What a run would say of a step on the batch, in two micro-batches.
std::vector<std::string> sentences_of(const Case& c) {
  TrainState state = c.state;
  state.params = {};
  for (const auto& [name, param] : c.state.params)
    state.params.add(name, param.detach().clone().requires_grad_(param.requires_grad()));
  const data::Batch halves[] = {rows_of(c.batch, 0, 2), rows_of(c.batch, 2, 4)};
  const auto report = train_step(c.model, {*run_optimizer(c.config), 0.0, {}}, halves, state);
  return alarm_sentences(find_collapse(report.routing, report.token_scores));
}

TEST(Diagnose, FindsNothingWhereAllIsWell) {
  const Case balanced({});
  EXPECT_THAT(balanced.findings(), IsEmpty());
  for (const auto& [name, tensor] : balanced.state.params) EXPECT_FALSE(tensor.grad().defined()) << name;
  EXPECT_THAT(Case({"model.balance={loss = []}", "model.router={kind = \"sinkhorn\"}"}).findings(), IsEmpty());
  const Case dense(testing::kTinyDense);
  EXPECT_THAT(dense.findings(), IsEmpty());
  EXPECT_THAT(sentences_of(dense), IsEmpty());
  EXPECT_THAT(sentences_of(balanced), IsEmpty());
}

TEST(Diagnose, FindsARouterThatTheCrossEntropyDoesNotReach) {
  const Case constant(
      {kOneExpert, "model.balance={loss = [], z_coefficient = 0.001}"});  // a softmax over one logit is 1
  EXPECT_THAT(constant.findings(), ::testing::Contains(AllOf(HasSubstr("layers.0.router.weight"),
                                                             HasSubstr("no gradient from the cross-entropy"))));
  Case silent({});
  silent.state.params.at("layers.1.experts.down").detach().zero_();  // all experts say the same: nothing to choose
  EXPECT_THAT(silent.findings(),
              ElementsAre(HasSubstr("layers.1.router.weight gets no gradient from the cross-entropy")));
}

TEST(Diagnose, FindsACoefficientThatChangesNothing) {
  const Case constant({kOneExpert});  // the probability of the only expert is 1 whatever its weights
  EXPECT_THAT(constant.findings(), ::testing::Contains(AllOf(HasSubstr("the balance loss with coefficient 0.01"),
                                                             HasSubstr("layers.0.router.weight"))));
  EXPECT_THAT(constant.findings(),
              ::testing::Not(::testing::Contains(HasSubstr("the z loss"))));  // z = l^2 has a gradient
}

// Loads that are even whatever the router says leave an exact 0 that fp32 rounds to about 1e-9.
TEST(Diagnose, FindsACoefficientWhoseGradientIsOnlyRounding) {
  const auto loss = [](const std::string& name) {
    return "model.balance={loss = \"" + name + "\", coefficient = 1.0}";
  };
  const auto changes_nothing = [](const Case& tested, const std::string& matrix) {
    EXPECT_THAT(tested.findings(),
                ::testing::Contains(AllOf(HasSubstr("the balance loss with coefficient 1 "), HasSubstr(matrix))));
  };
  for (const std::string matrix : {"layers.0.router.weight", "layers.1.router.weight"}) {
    changes_nothing(Case({"model.router={kind = \"expert_choice\"}", loss("olmo")}), matrix);
    changes_nothing(Case({"model.top_k=1", "model.router={kind = \"base\"}", loss("deepseek_batch")}), matrix);
    for (const std::string name : {"switch", "olmo", "hf", "megablocks"})
      changes_nothing(Case({"model.top_k=4", loss(name)}), matrix);
  }
}

// Loads of 6 and 7 tokens, and nearly even ones of thousands of tokens in more layers: a small gradient, but one that
// balances.
TEST(Diagnose, TakesASmallGradientForOne) {
  EXPECT_THAT(Case({"model.top_k=1", "model.n_experts=5", "model.router={kind = \"base\"}",
                    "model.balance={loss = \"deepseek_batch\", coefficient = 1.0}"})
                  .findings(),
              IsEmpty());
  for (const std::string name : {"olmo", "megablocks"}) {
    Case large({"model={n_experts = 16, top_k = 4, n_layers = 6, router = {kind = \"sinkhorn\"}}",
                "model.balance={loss = \"" + name + "\", coefficient = 1e-4, z_coefficient = 1e-4}"});
    large.batch.tokens = testing::random_ids(4096, testing::kTinyVocabulary, 3).view({16, 256});
    large.batch.targets = testing::random_ids(4096, testing::kTinyVocabulary, 4).view({16, 256});
    EXPECT_THAT(large.findings(), IsEmpty()) << name;
  }
}

TEST(Diagnose, FindsAllTokensOnTheSameExperts) {
  const auto on_one_token = [](const std::vector<std::string>& overrides) {
    Case out(overrides);
    out.batch.tokens.fill_(3);
    return out.findings();
  };
  const auto finding = [](const std::string& share) {
    return "routing check: layers 0, 1: nearly all tokens have the same " + share + " experts";
  };
  EXPECT_THAT(on_one_token({"model.top_k=1", "model.balance={loss = []}", "model.router={kind = \"hash\"}"}),
              ElementsAre(HasSubstr(finding("1 of 4"))));
  EXPECT_THAT(on_one_token({"model.top_k=1"}), ElementsAre(HasSubstr(finding("1 of 4"))));
  EXPECT_THAT(on_one_token({}), ElementsAre(HasSubstr(finding("2 of 4"))));
  // What shares even equal tokens out, and where there is nothing to choose.
  EXPECT_THAT(on_one_token({"model.balance={loss = []}", "model.router={kind = \"uniform\"}"}), IsEmpty());
  EXPECT_THAT(on_one_token({"model.top_k=4", "model.balance={loss = []}"}),
              ::testing::Not(::testing::Contains(HasSubstr("routing check"))));
  // Two thirds on one expert is a router to be balanced, not a collapsed one.
  Case uneven({"model.top_k=1"});
  uneven.batch.tokens.narrow(0, 0, 3).narrow(1, 0, 7).fill_(3);
  EXPECT_THAT(uneven.findings(), IsEmpty());
}

TEST(Diagnose, AlarmsGoIntoALineAndBack) {
  const std::vector<Alarm> found = {{1, Alarm::Kind::same_experts, "the same"},
                                    {0, Alarm::Kind::same_experts, "the same"},
                                    {Alarm::kAllLayers, Alarm::Kind::not_causal, "looks ahead"}};
  auto first = testing::made_step(1, "one", {0.5});
  first.alarms = found;
  const testing::TemporaryFolder folder;
  const auto metrics = folder.write("metrics.jsonl", testing::text_of({first, testing::made_step(2, "two", {0.5})}));
  EXPECT_EQ(alarms_of_phase(metrics, "one"), std::set<Alarm>(found.begin(), found.end()));
  EXPECT_EQ(alarms_of_phase(metrics, "two").size(), 0U);
  EXPECT_THAT(alarm_sentences(found), ElementsAre("routing check: layers 1, 0: the same", "looks ahead"));
}

// Each finding says where it is, for results.json and the page.
TEST(Diagnose, FindingsKnowTheirKindAndLayer) {
  Case silent({"model.balance={loss = []}"});
  silent.state.params.at("layers.1.experts.down").detach().zero_();
  const auto found = diagnose(silent.model, silent.batch, silent.state);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_TRUE(found[0].kind == Alarm::Kind::no_gradient && found[0].layer == 1 && !found[0].is_collapse());
  EXPECT_TRUE(found[1].kind == Alarm::Kind::no_balance && found[1].layer == Alarm::kAllLayers);
  Case collapsed({});
  collapsed.batch.tokens.fill_(3);
  const auto layers = diagnose(collapsed.model, collapsed.batch, collapsed.state);
  ASSERT_EQ(layers.size(), 2U);
  EXPECT_TRUE(layers[1].kind == Alarm::Kind::same_experts && layers[1].layer == 1 && layers[1].is_collapse());
}

// The first hidden state of every token is positive and one expert of layer 1 alone looks at it: it comes first, the
// other choices are spread.
TEST(Diagnose, FindsOneExpertAmongTheChoicesOfAllTokens) {
  const auto with_favourite = [](const std::vector<std::string>& overrides, int64_t n_tokens = 32) {
    Case out(overrides);
    out.batch.tokens = testing::random_ids(n_tokens, testing::kTinyVocabulary, 1).view({4, -1});
    out.batch.targets = testing::random_ids(n_tokens, testing::kTinyVocabulary, 2).view({4, -1});
    out.state.params.at("embedding.weight").detach().mul_(50.0).select(1, 0).fill_(1.0);
    for (const std::string layer : {"0", "1"})
      out.state.params.at("layers." + layer + ".router.weight").detach().select(1, 0).zero_();
    out.state.params.at("layers.1.router.weight").detach()[2][0] = 100.0;
    return out;
  };
  const auto finding = [](const std::string& share) {
    return "routing check: layer 1: nearly all tokens have one and the same expert among their " + share + " experts";
  };
  for (const auto& [overrides, share] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{}, "2 of 4"}, {{"model={n_experts = 16, top_k = 3}"}, "3 of 16"}}) {
    const auto found = with_favourite(overrides);
    EXPECT_THAT(sentences_of(found), ElementsAre(HasSubstr(finding(share)))) << share;
    EXPECT_THAT(found.findings(), ::testing::Contains(HasSubstr(finding(share)))) << share;
  }
  // Too few tokens; an even load of three quarters; a token in 32 that goes elsewhere.
  const auto few = with_favourite({}, 28), near_all = with_favourite({"model.top_k=3"});
  EXPECT_THAT(sentences_of(few), IsEmpty());
  EXPECT_THAT(sentences_of(near_all), ::testing::Not(::testing::Contains(HasSubstr("one and the same"))));
  const auto even = Case({"model.balance={loss = []}", "model.router={kind = \"uniform\"}"});
  EXPECT_THAT(sentences_of(even), IsEmpty());
}

// Logits of -300 and less: the embedding and with it the normalised states are positive, the matrix is not.
TEST(Diagnose, FindsScoresThatHaveShrunkToNothing) {
  for (const std::string score : {"sigmoid", "sqrtsoftplus"}) {
    const std::string router = "model.router={score = \"" + score + "\"}";
    Case shrunk({router});
    EXPECT_THAT(shrunk.findings(), IsEmpty()) << score;  // a fresh router
    shrunk.state.params.at("embedding.weight").detach().abs_();
    for (const std::string layer : {"0", "1"})
      shrunk.state.params.at("layers." + layer + ".router.weight").detach().fill_(-50.0);
    EXPECT_THAT(
        shrunk.findings(),
        ::testing::Contains(HasSubstr("routing check: layers 0, 1: the router's scores have shrunk to nearly 0")))
        << score;
    EXPECT_THAT(sentences_of(shrunk), ::testing::Contains(HasSubstr("scores have shrunk"))) << score;
    for (const std::string layer : {"0", "1"})
      shrunk.state.params.at("layers." + layer + ".router.weight").detach().fill_(-0.3);  // low, but alive
    EXPECT_THAT(sentences_of(shrunk), ::testing::Not(::testing::Contains(HasSubstr("scores have shrunk")))) << score;
  }
}

// Its weights are sigmoids; with more experts a token they are of a softmax, which cannot shrink.
TEST(Diagnose, FindsShrunkScoresOfTopOneSinkhorn) {
  for (const std::string top_k : {"1", "2"}) {
    Case shrunk({"model.top_k=" + top_k, "model.router={kind = \"sinkhorn\"}"});
    shrunk.state.params.at("embedding.weight").detach().abs_();
    shrunk.state.params.at("layers.1.router.weight").detach().fill_(-50.0);
    const auto found = sentences_of(shrunk);
    EXPECT_EQ(::testing::Value(found, ::testing::Contains(HasSubstr(
                                          "routing check: layer 1: the router's scores have shrunk to nearly 0"))),
              top_k == "1");
  }
}

TEST(Diagnose, FindsARouterWithoutBalance) {
  const Case bare({"model.balance={loss = []}"});
  EXPECT_THAT(bare.findings(), ElementsAre(AllOf(HasSubstr("'top_k'"), HasSubstr("no balance loss"))));
  const Case still({"model.router={kind = \"loss_free\", rate = 0}", "model.balance={loss = []}"});
  EXPECT_THAT(still.findings(), ElementsAre(AllOf(HasSubstr("'loss_free'"), HasSubstr("no balance loss"))));
  for (const std::string kind : {"loss_free", "quantile"})
    EXPECT_THAT(Case({"model.router={kind = \"" + kind + "\"}", "model.balance={loss = []}"}).findings(),
                ::testing::IsEmpty());
  EXPECT_THAT(Case({"model.balance={loss = []}", "model.top_k=4"}).findings(),
              ::testing::IsEmpty());  // all experts: nothing to collapse
  const Case only_z({"model.balance={loss = [], z_coefficient = 0.001}"});
  EXPECT_THAT(only_z.findings(), ElementsAre(HasSubstr("no balance loss")));
}

// Routers that learn nothing have nothing to find; expert choice sees later tokens.
TEST(Diagnose, KnowsRoutersThatAreNotPlainTokenChoice) {
  for (const std::string kind : {"base", "hash", "random", "uniform"})
    EXPECT_THAT(
        Case({"model.top_k=1", "model.balance={loss = []}", "model.router={kind = \"" + kind + "\"}"}).findings(),
        IsEmpty())
        << kind;
  EXPECT_THAT(Case({"model.balance={loss = []}", "model.router={kind = \"expert_choice\"}"}).findings(),
              ElementsAre(AllOf(HasSubstr("'expert_choice'"), HasSubstr("is not causal"))));
}

// As the trainer freezes: the tensor requires no gradient.
TEST(Diagnose, AFrozenRouterIsMeantToBeStill) {
  Case frozen({});
  frozen.state.params.at("layers.0.router.weight").set_requires_grad(false);
  EXPECT_THAT(frozen.findings(), IsEmpty());
  frozen.state.params.at("layers.1.router.weight").set_requires_grad(false);
  EXPECT_THAT(frozen.findings(), IsEmpty());
}

}  // namespace
}  // namespace evenkeel::train
