#include <atomic>

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/files.h"
#include "support/gradients.h"
#include "support/optimizers.h"

namespace evenkeel::optim {
namespace {

using testing::expect_close;
using ::testing::HasSubstr;
using testing::random_tensor;
using testing::same_bits;

// The stored parameters of the golden file's matrices, as a model keeps them.
const std::vector<ParamForm> kStored = {
    {"embedding", {7, 5}},
    {"qkv", {12, 5}, {false, {{"q", 6}, {"k", 3}, {"v", 3}}}},
    {"qkv_bias", {12}, {false, {{"q", 6}, {"k", 3}, {"v", 3}}}},
    {"gate_up", {2, 8, 5}, {true, {{"gate", 4}, {"up", 4}}}},
    {"down", {2, 5, 4}, {true, {}}},
    {"norm", {5}},
};

// tensor_of: a matrix's name -> its value.
template <class TensorOf>
std::vector<at::Tensor> stored_tensors(const TensorOf& tensor_of) {
  const auto expert = [&](const std::string& e) { return at::cat({tensor_of("gate." + e), tensor_of("up." + e)}); };
  return {tensor_of("embedding"),
          at::cat({tensor_of("q"), tensor_of("k"), tensor_of("v")}),
          at::cat({tensor_of("q_bias"), tensor_of("k_bias"), tensor_of("v_bias")}),
          at::stack({expert("0"), expert("1")}),
          at::stack({tensor_of("down.0"), tensor_of("down.1")}),
          tensor_of("norm")};
}

struct Trial {
  Trial(std::vector<ParamForm> parameters, const std::vector<at::Tensor>& values, const std::string& toml = "")
      : optimizer(make_optimizer({parameters}, parse_toml("kind = \"adafactor\"\n" + toml, "r.toml", ""))) {
    for (size_t i = 0; i < values.size(); ++i) params.add(parameters[i].name, values[i].clone());
    state = initial_optimizer_state(*optimizer, params);
  }
  void step(double rate, const std::vector<at::Tensor>& gradients, const RateFactors& factors = {}) {
    optimizer->update({rate, factors}, params, gradients, state);
  }
  std::unique_ptr<Optimizer> optimizer;
  ops::Params params;
  OptimizerState state;
};

std::string toml_of(const Json& keys, const Json& min_factored) {
  std::string out;
  if (keys.find("min_factored") == nullptr) out = "min_factored = " + min_factored.dump() + "\n";
  for (const auto& [key, value] : keys.as_object()) out += key + " = " + value.dump() + "\n";
  return out;
}

// Each matrix of a stored parameter as if it were alone: the golden file knows nothing of how they are stored.
TEST(Adafactor, FollowsTheReferenceForEachPublishedMatrix) {
  const auto golden = testing::read_golden("adafactor.json");
  const Json& matrices = golden.inputs.at("matrices");
  const auto rates = testing::tensor_of(golden.inputs.at("rates"));
  for (const auto& c : golden.inputs.at("cases").as_array())
    for (const auto type : {at::kDouble, at::kFloat}) {
      const std::string name = c.at("name").as_string();
      const auto values = stored_tensors(
          [&](const std::string& matrix) { return testing::tensor_of(matrices.at(matrix).at("value")).to(type); });
      Trial trial(kStored, values, toml_of(c.at("keys"), golden.inputs.at("min_factored")));
      const auto check = [&](const char* when) {
        const Json& need = golden.outputs.at(name).at(when);
        const auto needed =
            stored_tensors([&](const std::string& matrix) { return testing::tensor_of(need.at(matrix)); });
        for (size_t i = 0; i < needed.size(); ++i)  // fp64: the file has 12 digits
          expect_close(trial.params.tensor(i), needed[i], type == at::kDouble ? 1e-11 : golden.rtol,
                       type == at::kDouble ? 1e-14 : golden.atol, name + " " + when + " " + kStored[i].name);
      };
      for (int64_t n = 0; n < rates.numel(); ++n) {
        trial.step(rates[n].item<double>(), stored_tensors([&](const std::string& matrix) {
                     return testing::tensor_of(matrices.at(matrix).at("gradients").at(static_cast<size_t>(n))).to(type);
                   }));
        if (n == 0) check("after_first");
      }
      check("after_last");
    }
}

std::vector<std::string> moment_names(const Optimizer& optimizer) {
  std::vector<std::string> names;
  for (const auto& form : optimizer.moment_forms()) names.push_back(form.name + " " + Json(form.shape).dump());
  return names;
}
std::unique_ptr<Optimizer> made(const std::vector<ParamForm>& parameters, const std::string& toml = "") {
  return make_optimizer({parameters}, parse_toml("kind = \"adafactor\"\n" + toml, "r.toml", ""));
}

// Both sides of a matrix must be min_factored long; a stack's experts and the parts of a projection count apart.
TEST(Adafactor, FactorsAMatrixWhoseSidesAreBothLong) {
  EXPECT_EQ(moment_names(*made({{"w", {128, 128}}})), (std::vector<std::string>{"row.w [128]", "column.w [128]"}));
  EXPECT_EQ(moment_names(*made({{"w", {127, 4096}}})), (std::vector<std::string>{"second.w [127,4096]"}));
  EXPECT_EQ(moment_names(*made({{"w", {4096, 127}}})), (std::vector<std::string>{"second.w [4096,127]"}));
  EXPECT_EQ(moment_names(*made({{"w", {4096}}})), (std::vector<std::string>{"second.w [4096]"}));
  EXPECT_EQ(moment_names(*made({{"qkv", {256, 200}, {false, {{"q", 128}, {"k", 64}, {"v", 64}}}}})),
            (std::vector<std::string>{"row.qkv.q [128]", "column.qkv.q [200]", "second.qkv.k [64,200]",
                                      "second.qkv.v [64,200]"}));
  EXPECT_EQ(moment_names(*made({{"experts", {3, 300, 130}, {true, {{"gate", 200}, {"up", 100}}}}})),
            (std::vector<std::string>{"row.experts.gate [3,200]", "column.experts.gate [3,130]",
                                      "second.experts.up [3,100,130]"}));
  EXPECT_EQ(moment_names(*made({{"stack", {256, 256}, {true, {}}}})),  // 256 vectors
            (std::vector<std::string>{"second.stack [256,256]"}));
  EXPECT_EQ(moment_names(*made({{"w", {4, 3}}}, "min_factored = 3\nmomentum = 0.9")),
            (std::vector<std::string>{"row.w [4]", "column.w [3]", "first.w [4,3]"}));
  EXPECT_THROW(made({{"w", {2, 3, 4}}}), std::logic_error);  // neither a matrix nor a stack of them
}

TEST(Adafactor, SaysWhatItHolds) {
  const auto optimizer = made({{"w", {200, 300}}, {"b", {300}}});
  EXPECT_EQ(optimizer->moment_floats(), 200 + 300 + 300);
  EXPECT_EQ(optimizer->floats_in_hand(), 2 * 200 * 300);
  EXPECT_EQ(optimizer->clip_norm(), 0.0);  // T5X clips no global norm
  EXPECT_EQ(optimizer->options().dump(),
            R"({"kind":"adafactor","decay_rate":0.8,"clipping_threshold":1,"scale_parameter":true,"min_factored":128,)"
            R"("eps":1e-30,"eps_scale":0.001,"momentum":0,"weight_decay":0,"clip_norm":0})");
}

// U is G over its own size at the first update: its sign, whatever its scale. The update is then relative to rms(W).
TEST(Adafactor, TheFirstUpdateOfAVectorIsItsSignTimesItsSize) {
  for (const double scale : {1e-6, 1.0, 1e6}) {
    Trial trial({{"v", {2}}}, {at::tensor({3.0, 4.0}, at::kDouble)});
    trial.step(0.1, {at::tensor({0.25, -2.0}, at::kDouble) * scale});
    expect_close(trial.params.at("v"), at::tensor({3 - 0.1 * std::sqrt(12.5), 4 + 0.1 * std::sqrt(12.5)}, at::kDouble),
                 1e-12, 0, "v");
  }
}

TEST(Adafactor, AParameterOfZerosMovesByTheFloorOfItsSize) {
  Trial trial({{"bias", {3}}}, {at::zeros({3}, at::kDouble)});
  trial.step(0.1, {at::ones({3}, at::kDouble)});
  expect_close(trial.params.at("bias"), at::full({3}, -0.1 * 1e-3, at::kDouble), 1e-12, 0, "bias");
}

// The rank-one second moment is exact where the squares are an outer product, so that U is the sign then too.
TEST(Adafactor, RowsAndColumnsAreEnoughForAnOuterProduct) {
  const auto rows = random_tensor({6}, 1), columns = random_tensor({5}, 2);
  const auto gradient = rows.unsqueeze(1) * columns.unsqueeze(0);
  Trial trial({{"w", {6, 5}}}, {at::zeros({6, 5}, at::kDouble)}, "min_factored = 5\nscale_parameter = false");
  trial.step(0.5, {gradient});
  expect_close(trial.params.at("w"), gradient.sign() * -0.5, 1e-10, 0, "w");
}

TEST(Adafactor, FrozenParametersAndThoseWithoutGradientKeepEverything) {
  const std::vector<ParamForm> forms = {{"a", {6, 5}}, {"b", {6, 5}}, {"c", {6, 5}}};
  const auto value = random_tensor({6, 5}, 1);
  Trial trial(forms, {value, value, value}, "min_factored = 5\nmomentum = 0.9\nweight_decay = 0.1");
  const RateFactors b_frozen{{1, 0, 1}};
  trial.step(0.1, {random_tensor({6, 5}, 2), random_tensor({6, 5}, 3), at::Tensor()}, b_frozen);
  EXPECT_FALSE(same_bits(trial.params.at("a"), value));
  EXPECT_EQ(trial.state.updates, (std::vector<int64_t>{1, 0, 0}));
  for (const std::string name : {"b", "c"}) {
    EXPECT_TRUE(same_bits(trial.params.at(name), value)) << name;
    for (const std::string moment : {"row.", "column.", "first."})
      EXPECT_EQ(trial.state.moments.at(moment + name).abs().max().item<double>(), 0.0) << moment << name;
  }
  // Thawed later, its moments decay as at its own first update.
  Trial fresh({{"b", {6, 5}}}, {value}, "min_factored = 5\nmomentum = 0.9\nweight_decay = 0.1");
  const auto gradient = random_tensor({6, 5}, 4);
  trial.step(0.1, {gradient, gradient, gradient});
  fresh.step(0.1, {gradient});
  EXPECT_TRUE(same_bits(trial.params.at("b"), fresh.params.at("b")));
}

TEST(Adafactor, SlowParametersTakeAFractionOfTheirRateAndDecay) {
  const auto value = random_tensor({4}, 1), gradient = random_tensor({4}, 2);
  Trial slow({{"v", {4}}}, {value}, "weight_decay = 0.2"), plain({{"v", {4}}}, {value}, "weight_decay = 0.05");
  slow.step(0.1, {gradient}, {{0.25}});
  plain.step(0.025, {gradient});
  EXPECT_TRUE(same_bits(slow.params.at("v"), plain.params.at("v")));
}

// Rows that learn are a matrix of their own beside frozen ones: of a matrix, of a part of one, of a stack of experts.
TEST(Adafactor, RowsThatLearnAreAMatrixOfTheirOwn) {
  struct Case {
    ParamForm form, alone;
    int64_t first, n;  // the rows that learn
  };
  const std::vector<Case> cases = {
      {{"w", {9, 5}}, {"w", {6, 5}}, 3, 6},
      {{"qkv", {12, 5}, {false, {{"q", 5}, {"k", 7}}}}, {"qkv", {7, 5}, {false, {{"k", 7}}}}, 5, 7},
      {{"experts", {4, 6, 5}, {true, {}}}, {"experts", {2, 6, 5}, {true, {}}}, 2, 2},
      {{"bias", {7}}, {"bias", {4}}, 3, 4},
  };
  for (const auto& [form, alone, first, n] : cases)
    for (const std::string keys : {"min_factored = 5\n", "min_factored = 5\nmomentum = 0.9\nweight_decay = 0.1\n"}) {
      const auto learning = [&, first = first, n = n](const at::Tensor& whole) { return whole.narrow(0, first, n); };
      const auto value = random_tensor(form.shape, 1);
      Trial trial({form}, {value}, keys), apart({alone}, {learning(value)}, keys);
      const int64_t n_rows = form.shape[0];
      RateFactors factors{{1}};
      factors.rows[0] = {{0, first, 0}, {first, first + n, 1}};
      if (first + n < n_rows) factors.rows[0].push_back({first + n, n_rows, 0});
      for (uint64_t step = 2; step < 5; ++step) {
        auto gradient = random_tensor(form.shape, step);
        apart.step(0.1, {learning(gradient).clone()});
        gradient.narrow(0, 0, first).zero_();  // as zero_frozen_rows leaves it
        trial.step(0.1, {gradient}, factors);
      }
      const auto& now = trial.params.at(form.name);
      expect_close(learning(now), apart.params.at(form.name), 1e-12, 1e-14, form.name);  // fp64
      EXPECT_TRUE(same_bits(now.narrow(0, 0, first), value.narrow(0, 0, first))) << form.name;
      EXPECT_EQ(trial.state.updates, (std::vector<int64_t>{3}));
    }
}

// Rows that begin to learn after many updates of the others have an own first update, which does not throttle the
// matrix by its clip: gradients of one size give changes of one size, to the rounding of the moments.
TEST(Adafactor, RowsThatAreThawedLeaveTheOthersTheirRate) {
  const std::vector<ParamForm> forms = {{"w", {6, 5}},
                                        {"qkv", {12, 5}, {false, {{"q", 6}, {"k", 6}}}},
                                        {"experts", {6, 5, 5}, {true, {}}},
                                        {"bias", {6}}};
  for (const auto& form : forms)
    for (const std::string keys : {"min_factored = 5\nscale_parameter = false\n", "scale_parameter = false\n"}) {
      const auto value = random_tensor(form.shape, 1);
      Trial thawed({form}, {value}, keys), kept({form}, {value}, keys);
      RateFactors frozen{{1}};
      const int64_t n = form.shape[0] / 2;  // of qkv: all of q
      frozen.rows[0] = {{0, n, 0}, {n, 2 * n, 1}};
      const auto without = [&](const at::Tensor& gradient) {
        auto out = gradient.clone();
        out.narrow(0, 0, n).zero_();
        return out;
      };
      for (uint64_t step = 2; step < 202; ++step) {
        const auto gradient = random_tensor(form.shape, step).sign();
        thawed.step(0.1, {without(gradient)}, frozen);
        kept.step(0.1, {without(gradient)}, frozen);
      }
      const auto before = thawed.params.at(form.name).clone();
      const auto gradient = random_tensor(form.shape, 202).sign();
      thawed.step(0.1, {gradient});
      kept.step(0.1, {without(gradient)}, frozen);
      const auto& now = thawed.params.at(form.name);
      expect_close(now.narrow(0, n, n), kept.params.at(form.name).narrow(0, n, n), 1e-12, 1e-12, form.name);
      expect_close(now.narrow(0, 0, n), before.narrow(0, 0, n) - 0.1 * gradient.narrow(0, 0, n), 1e-12, 1e-12,
                   form.name + ", thawed rows");
    }
}

// Frozen ones may lie between them.
TEST(Adafactor, RowsThatLearnNeedNotFollowOneAnother) {
  const std::string keys = "min_factored = 5\nmomentum = 0.9\nweight_decay = 0.1\n";
  const auto index = at::tensor({0, 1, 4, 5, 6, 8}, at::kLong);
  const auto value = random_tensor({9, 5}, 1);
  Trial trial({{"w", {9, 5}}}, {value}, keys), apart({{"w", {6, 5}}}, {value.index_select(0, index)}, keys);
  RateFactors factors{{1}};
  factors.rows[0] = {{0, 2, 1}, {2, 4, 0}, {4, 7, 1}, {7, 8, 0}, {8, 9, 1}};
  for (uint64_t step = 2; step < 5; ++step) {
    const auto gradient = random_tensor({9, 5}, step);
    trial.step(0.1, {gradient}, factors);
    apart.step(0.1, {gradient.index_select(0, index)});
  }
  const auto& now = trial.params.at("w");
  expect_close(now.index_select(0, index), apart.params.at("w"), 1e-12, 1e-14, "w");  // fp64
  for (const int64_t row : {2, 3, 7}) EXPECT_TRUE(same_bits(now[row], value[row])) << row;
}

// What floats_in_hand() says leaves no room for copies of the parameter, its gradient and its moments.
TEST(Adafactor, RowsThatFollowOneAnotherAreNotCopied) {
  static std::atomic<int64_t> n_copies;
  n_copies = 0;
  const auto count = [](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
    if (std::string_view(function.name()) == "aten::index_select") ++n_copies;
    return nullptr;
  };
  const auto value = random_tensor({9, 5}, 1);
  Trial trial({{"w", {9, 5}}}, {value}, "min_factored = 5\nmomentum = 0.9");
  RateFactors range{{1}}, gap{{1}};
  range.rows[0] = {{0, 3, 0}, {3, 6, 1}, {6, 9, 0.5}};
  gap.rows[0] = {{0, 3, 1}, {3, 6, 0}, {6, 9, 1}};
  const auto handle = at::addGlobalCallback(at::RecordFunctionCallback(count));
  trial.step(0.1, {value}, range);
  const int64_t of_range = n_copies;
  trial.step(0.1, {value}, gap);
  at::removeCallback(handle);
  EXPECT_EQ(of_range, 0);
  EXPECT_GT(n_copies, 0);  // a copy is counted
}

TEST(Adafactor, SlowRowsTakeAFractionOfTheRate) {
  const auto value = random_tensor({4, 3}, 1), gradient = random_tensor({4, 3}, 2);
  Trial slow({{"w", {4, 3}}}, {value}), rows({{"w", {4, 3}}}, {value}), plain({{"w", {4, 3}}}, {value});
  slow.step(0.1, {gradient}, {{0.25}});
  plain.step(0.1, {gradient});
  RateFactors factors{{1}};
  factors.rows[0] = {{0, 2, 0.25}, {2, 4, 1}};
  rows.step(0.1, {gradient}, factors);
  expect_close(rows.params.at("w").narrow(0, 0, 2), slow.params.at("w").narrow(0, 0, 2), 1e-13, 0, "slow rows");
  expect_close(rows.params.at("w").narrow(0, 2, 2), plain.params.at("w").narrow(0, 2, 2), 1e-13, 0, "other rows");
}

TEST(Adafactor, UpdatesLeavesThatRequireGradientInPlace) {
  ops::Params params;
  params.add("w", at::ones({2, 2}).requires_grad_(true));
  const auto optimizer = testing::optimizer_for(params, "kind = \"adafactor\"");
  auto state = initial_optimizer_state(*optimizer, params);
  const void* data = params.at("w").const_data_ptr();
  optimizer->update({0.1, {}}, params, {at::ones({2, 2})}, state);
  EXPECT_EQ(params.at("w").const_data_ptr(), data);
  EXPECT_TRUE(params.at("w").requires_grad());
  EXPECT_FALSE(state.moments.at("second.w").requires_grad());
  EXPECT_LT(params.at("w").max().item<float>(), 1.0f);
}

TEST(Adafactor, RefusesValuesOutsideTheirRange) {
  const auto message_for = [](const std::string& toml) {
    return testing::message_of<ConfigError>([&] { made({}, toml); });
  };
  EXPECT_THAT(message_for("decay_rate = 0.0"), HasSubstr("r.toml:2:1: got optimizer.decay_rate = 0; need more than 0"));
  EXPECT_THAT(message_for("clipping_threshold = 0.0"), HasSubstr("optimizer.clipping_threshold = 0; need more than 0"));
  EXPECT_THAT(message_for("min_factored = 0"), HasSubstr("optimizer.min_factored = 0; need 1 or more"));
  EXPECT_THAT(message_for("eps = 0.0"), HasSubstr("optimizer.eps = 0; need more than 0"));
  EXPECT_THAT(message_for("eps_scale = -1.0"), HasSubstr("optimizer.eps_scale = -1; need more than 0"));
  EXPECT_THAT(message_for("momentum = 1.0"), HasSubstr("optimizer.momentum = 1; need 0 (none) <= momentum < 1"));
  EXPECT_THAT(message_for("weight_decay = 1.0"), HasSubstr("it is not multiplied by the learning rate"));
  EXPECT_THAT(message_for("clip_norm = -1.0"), HasSubstr("0 (no clipping) or more"));
  EXPECT_THAT(message_for("betas = [0.9, 0.95]"), HasSubstr("unknown key 'optimizer.betas'"));
}

}  // namespace
}  // namespace evenkeel::optim
