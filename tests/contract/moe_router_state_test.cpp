// Options and balancing state of every registered router: each option is in some form of tests/support/router_forms.h
// and does something; state changes by after_step alone.
#include <map>
#include <set>

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/files.h"
#include "support/router_forms.h"

namespace evenkeel::moe {
namespace {

using testing::copy_of;
using ::testing::HasSubstr;
using testing::leaning_logits;
using testing::RouterForm;
using testing::same_bits;
using testing::same_state;
using testing::TestedRouter;

class RouterStateContract : public ::testing::TestWithParam<RouterForm> {
 protected:
  static TestedRouter make_typical() {
    const int64_t E = GetParam().experts.back(), smallest = GetParam().smallest_k;
    const int64_t largest = std::min(GetParam().largest_k, TestedRouter(GetParam(), E, smallest).traits.max_top_k);
    return {GetParam(), E, std::min(std::max<int64_t>(2, smallest), largest)};
  }
};

TEST_P(RouterStateContract, AfterStepAloneChangesTheState) {
  auto tested = make_typical();
  const auto before = copy_of(tested.state);
  const auto input = tested.with_logits(leaning_logits(40, tested.shape.n_experts, 16));
  const auto first = tested.route(input);
  const auto statistics = tested.router->balance_statistics(input, first);
  const auto again =
      tested.router->balance_statistics(input, tested.route(input));  // a second forward pass, as recomputation makes
  EXPECT_TRUE(same_state(tested.state, before)) << "a forward pass changed the state";
  EXPECT_EQ(statistics.defined(), again.defined());
  auto evaluated = input;
  evaluated.mode = Mode::eval;
  EXPECT_FALSE(tested.router->balance_statistics(evaluated, tested.route(evaluated)).defined())
      << "evaluation was counted";

  auto once = copy_of(before), twice = copy_of(before);
  tested.router->after_step(once, statistics);
  tested.router->after_step(twice, again);
  EXPECT_TRUE(same_state(once, twice)) << "a repeated forward pass was counted";
  if (statistics.defined()) {
    EXPECT_TRUE(same_bits(statistics, again));
    EXPECT_FALSE(statistics.requires_grad());
  }
  tested.router->after_step(tested.state, at::Tensor());
  EXPECT_TRUE(same_state(tested.state, before)) << "a step without statistics changed the state";
}

TEST_P(RouterStateContract, NamesShapesAndTypesStayWhateverTheInput) {
  auto tested = make_typical();
  const auto before = copy_of(tested.state);
  for (const auto dtype : {at::kBFloat16, at::kFloat, at::kDouble})
    for (const int64_t T : {0, 1, 3, 40}) {
      const auto input = tested.with_logits(leaning_logits(T, tested.shape.n_experts, 17).to(dtype));
      tested.router->after_step(tested.state, tested.router->balance_statistics(input, tested.route(input)));
      ASSERT_EQ(tested.state.size(), before.size());
      for (const auto& [name, tensor] : before) {
        const auto& now = tested.state.at(name);
        EXPECT_EQ(now.sizes(), tensor.sizes()) << name;
        EXPECT_EQ(now.scalar_type(), tensor.scalar_type()) << name;
        EXPECT_TRUE(now.scalar_type() == at::kFloat || now.scalar_type() == at::kDouble ||
                    now.scalar_type() == at::kLong)
            << name;
        EXPECT_FALSE(now.requires_grad()) << name;
      }
    }
}

TEST_P(RouterStateContract, ARunBeginsWithAStateThatItsSeedAndLayerDecide) {
  const auto tested = make_typical();
  const auto counts = at::arange(TestedRouter::kVocabulary, at::kLong) % 3;  // equal ones in an order of the seed
  EXPECT_TRUE(
      same_state(tested.router->initial_state({1, 2, counts}), make_typical().router->initial_state({1, 2, counts})));
  EXPECT_EQ(same_state(tested.router->initial_state({1, 2, counts}), tested.router->initial_state({2, 2, counts})),
            GetParam().kind != "hash");
  EXPECT_EQ(same_state(tested.router->initial_state({1, 2, counts}), tested.router->initial_state({1, 3, counts})),
            GetParam().kind != "hash");
}

// Micro-batches add up to the step, except where the statistic is one of each micro-batch (docs/routers.md, quantile).
TEST_P(RouterStateContract, StatisticsOfMicroBatchesAddUpToTheStep) {
  const auto tested = make_typical();
  if (tested.traits.train_scope != Scope::token) return;
  const auto input = tested.with_logits(leaning_logits(48, tested.shape.n_experts, 18), Mode::train, 4);
  const auto whole = tested.router->balance_statistics(input, tested.route(input));
  if (!whole.defined()) return;
  auto sum = at::zeros(whole.sizes(), whole.options());
  for (int64_t first = 0; first < 48; first += 12) {
    const auto part = testing::rows_of(input, at::arange(first, first + 12, at::kLong), 1);
    sum = sum + tested.router->balance_statistics(part, tested.route(part));
  }
  auto state_of_whole = copy_of(tested.state), state_of_sum = copy_of(tested.state);
  tested.router->after_step(state_of_whole, whole);
  tested.router->after_step(state_of_sum, sum);
  EXPECT_EQ(same_state(state_of_whole, state_of_sum), GetParam().kind != "quantile");
}

TEST_P(RouterStateContract, ListsItsOptionsSoThatTheyReadBack) {
  const auto tested = make_typical();
  const Json options = tested.router->options();
  EXPECT_EQ(options.at("kind").as_string(), GetParam().kind);
  std::string keys;
  for (const auto& [key, value] : options.as_object()) keys += key + " = " + value.dump() + "\n";
  EXPECT_EQ(make_router(tested.shape, parse_toml(keys, "again", ""))->options(), options);
}

TEST_P(RouterStateContract, RefusesUnknownKeysAndWrongValuesWhereTheyStand) {
  const auto tested = make_typical();
  const auto message_of = [&](const std::string& keys) {
    return testing::message_of<ConfigError>(
        [&] { make_router(tested.shape, testing::form_config(GetParam().kind, keys)); });
  };
  EXPECT_THAT(message_of("no_such_key = 1"), ::testing::AllOf(HasSubstr("recipe.toml:2:1"), HasSubstr("no_such_key")));
  const Json options = tested.router->options();
  for (const auto& [key, value] : options.as_object()) {
    if (key == "kind") continue;
    EXPECT_THAT(message_of(key + "s = []"), HasSubstr("did you mean '" + key + "'"));
    for (const std::string wrong : {"[]", value.is_string() ? "\"\"" : "-1"})
      EXPECT_THAT(message_of(key + " = " + wrong), ::testing::AllOf(HasSubstr("recipe.toml:2:1"), HasSubstr(key)));
  }
}

TEST_P(RouterStateContract, HasAStateAndTheOptionThatItIsMadeFor) {
  const auto tested = make_typical();
  if (tested.traits.state_option == nullptr) return;
  EXPECT_GT(tested.state.size(), 0u);
  EXPECT_NE(tested.router->options().find(tested.traits.state_option), nullptr);
}

// ---- every option is tried, and does something ----

void record(const TestedRouter& tested, const RouterInput& input, std::vector<at::Tensor>& seen,
            std::vector<std::string>& said) {
  try {
    const auto decision = tested.route(input);
    for (const auto& tensor :
         {decision.token_ids, decision.expert_ids, decision.weights.detach(), decision.expert_input, decision.logits})
      if (tensor.defined()) seen.push_back(tensor.detach());
  } catch (const NumericsError&) {
    said.push_back("refused");
  }
}

// What a router does: decisions at three scales of logits in both modes, its state over three steps with drops, its
// scopes.
struct Behaviour {
  std::vector<at::Tensor> seen;
  std::vector<std::string> said;
  bool operator==(const Behaviour& other) const {
    return said == other.said && std::equal(seen.begin(), seen.end(), other.seen.begin(), other.seen.end(),
                                            [](const auto& a, const auto& b) { return same_bits(a, b); });
  }
};
Behaviour behaviour_of(const TestedRouter& given) {
  TestedRouter tested(given.form, given.shape.n_experts, given.shape.top_k);
  Behaviour out;
  const int64_t E = tested.shape.n_experts;
  for (int step = 0; step < 3; ++step) {
    for (const auto& [name, tensor] : tested.state) out.seen.push_back(tensor.clone());
    for (const double scale : {0.3, 2.0, 1000.0})
      for (const auto mode : {Mode::train, Mode::eval})
        record(tested, tested.with_logits(leaning_logits(48, E, 20 + static_cast<uint64_t>(step), scale), mode, 4),
               out.seen, out.said);
    const auto input = tested.with_logits(leaning_logits(48, E, 30 + static_cast<uint64_t>(step)));
    auto decision = tested.route(input);
    decision.dropped = testing::random_ids(decision.expert_ids.size(0), 3, 31).eq(0);
    tested.router->after_step(tested.state, tested.router->balance_statistics(input, decision));
  }
  for (const auto& [name, tensor] : tested.state) out.seen.push_back(tensor.clone());
  out.said.push_back(std::to_string(static_cast<int>(tested.traits.train_scope)) +
                     std::to_string(static_cast<int>(tested.traits.eval_scope)));
  return out;
}

TEST_P(RouterStateContract, AFormThatIsNotTheDefaultBehavesOtherwise) {
  RouterForm plain = GetParam();
  plain.keys = "";
  const int64_t E = plain.experts.back();
  bool same_options = true, same_behaviour = true;
  for (const int64_t K : plain.choices(E, make_typical().traits.max_top_k)) {
    const TestedRouter tested(GetParam(), E, K), standard(plain, E, K);
    same_options = same_options && tested.router->options() == standard.router->options();
    same_behaviour = same_behaviour && behaviour_of(tested) == behaviour_of(standard);
  }
  EXPECT_EQ(same_behaviour, same_options);
}

// Does leaving the key out of the form change what the router does, for some k?
bool matters(const RouterForm& form, const std::string& key) {
  const int64_t E = form.experts.back();
  const auto config = testing::form_config(form.kind, form.keys);
  RouterForm without = form;
  without.keys.clear();
  for (const auto& [other, value] : config.table())
    if (other != key && other != "kind") without.keys += other + " = " + value.to_json().dump() + "\n";
  for (const int64_t K : form.choices(E, TestedRouter(form, E, form.smallest_k).traits.max_top_k)) {
    try {
      if (!(behaviour_of(TestedRouter(form, E, K)) == behaviour_of(TestedRouter(without, E, K)))) return true;
    } catch (const ConfigError&) {
      continue;  // the other keys need this one
    }
  }
  return false;
}

TEST(RouterForms, AreThereForEveryRegisteredRouterAndOption) {
  std::map<std::string, std::set<std::string>> tried;  // kind: keys that change something
  for (const auto& form : testing::router_forms()) {
    const auto config = testing::form_config(form.kind, form.keys);
    for (const auto& [key, value] : config.table())
      if (key == "kind" || (!tried[form.kind].contains(key) && matters(form, key))) tried[form.kind].insert(key);
  }
  std::set<std::string> registered;
  for (const auto& kind : router_kinds()) {
    registered.insert(kind.name);
    EXPECT_TRUE(tried.contains(kind.name)) << kind.name << " has no form in tests/support/router_forms.h";
    const TestedRouter plain({kind.name, ""}, 4, 1);
    const Json options = plain.router->options();
    for (const auto& [key, value] : options.as_object())
      EXPECT_TRUE(tried[kind.name].contains(key)) << kind.name << "." << key << " changes nothing in any form";
  }
  for (const auto& [kind, keys] : tried) EXPECT_TRUE(registered.contains(kind)) << kind << " is not registered";
}

std::string name_of(const ::testing::TestParamInfo<RouterForm>& info) { return info.param.name(); }
INSTANTIATE_TEST_SUITE_P(AllRouters, RouterStateContract, ::testing::ValuesIn(testing::router_forms()), name_of);

}  // namespace
}  // namespace evenkeel::moe
