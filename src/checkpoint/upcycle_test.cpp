#include "checkpoint/upcycle.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/randint.h>
#include <gmock/gmock.h>

#include "checkpoint/families/test_folder.h"
#include "checkpoint/test_support.h"
#include "checkpoint/tokenizer_places.h"
#include "data/tokenizer.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::checkpoint {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::same_bits;

// Of logits of about 1 in fp32 after two layers, whose sums over inner features have another order.
constexpr double kRounding = 2e-5;

class Upcycle : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    set_quiet(true);
  }
  ModelSource parent(const std::string& more = "", at::ScalarType type = at::kFloat) {
    return open_model(save_tiny(root_ / "parent", more, 1, type));
  }
  ModelSource grown(const ModelSource& from, const UpcycleOptions& options, const std::string& name = "grown") {
    plan_ = plan_upcycling(from, options);
    upcycle(from, plan_, options, root_ / name);
    verify_folder(root_ / name, /*deep=*/true);
    require_only_listed(root_ / name);
    return open_model(root_ / name);
  }
  double logit_change(const ModelSource& a, const ModelSource& b) {
    const auto tokens = at::randint(a.config.vocab_size, {3, 7}, at::kLong);
    return (logits_of(a, tokens) - logits_of(b, tokens)).abs().max().item<double>();
  }
  void expect_same_function(const ModelSource& from, const UpcycleOptions& options) {
    const auto to = grown(from, options);
    EXPECT_EQ(plan_.difference, "");
    EXPECT_LE(logit_change(from, to), kRounding);
  }
  UpcyclePlan plan_;
};

TEST_F(Upcycle, CopiesTheNetworkIntoEachExpert) {
  const auto from = parent();
  const auto to = grown(from, {.n_experts = 4, .top_k = 2});
  const auto before = load_params(from), after = load_params(to);
  for (const std::string layer : {"layers.0.", "layers.1."})
    for (int64_t expert = 0; expert < 4; ++expert) {
      EXPECT_TRUE(same_bits(after.at(layer + "experts.gate_up")[expert], before.at(layer + "ffn.gate_up.weight")));
      EXPECT_TRUE(same_bits(after.at(layer + "experts.down")[expert], before.at(layer + "ffn.down.weight")));
    }
  for (const auto& [name, value] : before)
    if (name.find(".ffn.") == std::string::npos) {
      EXPECT_TRUE(same_bits(after.at(name), value)) << name;
    }
  EXPECT_LE(logit_change(from, to), kRounding);
  EXPECT_EQ(plan_.difference, "");
}

TEST_F(Upcycle, LeavesACheckpointWithItsOrigin) {
  const auto from = parent();
  const auto to = grown(from, {.n_experts = 4, .top_k = 2, .seed = 9, .set = {"model.router.score=softmax_post"}});
  EXPECT_FALSE(to.has_history);
  EXPECT_EQ(to.sequence_length, from.sequence_length);
  EXPECT_EQ(to.longest_sequence, from.longest_sequence);
  const Json& upcycled = to.state.at(kUpcycledKey);
  EXPECT_EQ(upcycled.at("step"), Json(5));
  EXPECT_THAT(upcycled.at("from").as_string(), HasSubstr("/parent"));
  EXPECT_EQ(upcycled.at("options").at("seed"), Json(9));
  EXPECT_EQ(upcycled.at("options").at("method"), Json("copy"));
  EXPECT_EQ(upcycled.at("options").at("set").at(0), Json("model.router.score=softmax_post"));
  EXPECT_EQ(to.config.router.find("score")->shown(), "'softmax_post'");
  EXPECT_THAT(message_of<ConfigError>([&] { upcycle(from, plan_, {.n_experts = 4, .top_k = 2}, from.folder); }),
              HasSubstr("parent: got"));
}

TEST_F(Upcycle, KeepsTheFunctionInEveryFormThatSaysSo) {
  const auto from = parent();
  expect_same_function(from, {.n_experts = 8, .top_k = 3});
  expect_same_function(from, {.n_experts = 8, .top_k = 2, .set = {"model.router.score=softmax_post"}});
  expect_same_function(from, {.n_experts = 8, .top_k = 2, .set = {"model.router.score=sigmoid"}});
  expect_same_function(from, {.n_experts = 8, .top_k = 2, .set = {"model.moe_layers=[1]"}});
  expect_same_function(from, {.n_experts = 8, .top_k = 2, .set = {"model.router.kind=loss_free"}});
  expect_same_function(from, {.n_experts = 12, .top_k = 6, .granularity = 3, .set = {"model.router.scaling=3"}});
  for (const auto init : {RouterInit::torch_rand, RouterInit::torch_rand_mean0, RouterInit::torch_normal_028})
    expect_same_function(from, {.n_experts = 4, .top_k = 2, .router_init = init});
  expect_same_function(
      from, {.n_experts = 4, .top_k = 2, .method = UpcycleMethod::copy, .set = {"model.router.kind=random"}});
}

// A neuron's output is divided among the shared experts that have it and the routed ones.
TEST_F(Upcycle, KeepsTheFunctionWithSharedExperts) {
  const auto from = parent();
  expect_same_function(from, {.n_experts = 4, .top_k = 2, .n_shared_experts = 1});
  expect_same_function(from, {.n_experts = 4, .top_k = 2, .n_shared_experts = 3});
  for (const int64_t n_shared : {1, 2, 5})
    expect_same_function(from, {.n_experts = 8,
                                .top_k = 4,
                                .granularity = 2,
                                .n_shared_experts = n_shared,
                                .set = {"model.router.scaling=2"}});
  const auto params = load_params(open_model(root_ / "grown"));
  EXPECT_EQ(params.at("layers.0.shared.down.weight").sizes(), (std::vector<int64_t>{16, 60}));
}

TEST_F(Upcycle, KeepsTheFunctionOfEveryFormOfNetwork) {
  for (const std::string more : {"ffn_bias = true", "activation = \"swiglu_double\"", "activation = \"geglu\"",
                                 "activation = \"swiglu_clamped\"\nffn_bias = true", "tie_embeddings = true",
                                 "norm_placement = \"after\"", "init = \"small_wang\""}) {
    SCOPED_TRACE(more);
    fs::remove_all(root_ / "parent");
    const auto from = parent(more);
    expect_same_function(from, {.n_experts = 4, .top_k = 2});
    expect_same_function(from, {.n_experts = 4, .top_k = 2, .granularity = 2, .set = {"model.router.scaling=2"}});
  }
}

TEST_F(Upcycle, CutsNetworksIntoVirtualGroupsAndScalesThem) {
  const auto from = parent();
  const auto to = grown(from, {.n_experts = 8, .top_k = 4, .granularity = 4});
  EXPECT_NEAR(plan_.scale, 4, 1e-4);
  const double m = plan_.multiplier;
  const auto before = load_params(from), after = load_params(to);
  const auto gate_up = before.at("layers.1.ffn.gate_up.weight"), down = before.at("layers.1.ffn.down.weight");
  const auto router = after.at("layers.1.router.weight");
  for (int64_t expert = 0; expert < 8; ++expert) {
    const int64_t first = expert % 4 * 6;  // of 24 inner features
    const auto own = after.at("layers.1.experts.gate_up")[expert];
    const auto near = [](const at::Tensor& got, const at::Tensor& need) {
      return at::allclose(got, need.to(got.scalar_type()), 1e-6, 1e-7);  // one rounding to fp32
    };
    EXPECT_TRUE(near(own.narrow(0, 0, 6), gate_up.narrow(0, first, 6).to(at::kDouble) * m)) << expert;
    EXPECT_TRUE(near(own.narrow(0, 6, 6), gate_up.narrow(0, 24 + first, 6).to(at::kDouble) * m)) << expert;
    EXPECT_TRUE(near(after.at("layers.1.experts.down")[expert], down.narrow(1, first, 6).to(at::kDouble) * m));
    EXPECT_TRUE(same_bits(router[expert], router[expert / 4 * 4])) << expert;
  }
  EXPECT_FALSE(same_bits(router[0], router[4]));
  EXPECT_GT(logit_change(from, to), kRounding);
  EXPECT_NE(plan_.difference, "");
}

TEST_F(Upcycle, KeepsTypesAsTheyAreStored) {
  const auto from = parent("", at::kBFloat16);
  const auto to = grown(from, {.n_experts = 3, .top_k = 2});
  const SafetensorsFile file(to.folder / "model.safetensors");
  for (const auto& entry : file.entries()) EXPECT_EQ(entry.dtype, at::kBFloat16) << entry.name;
  EXPECT_LE(logit_change(from, to), kRounding);
}

TEST_F(Upcycle, OfAFolderTakesItsTokenizerAlong) {
  make_llama();
  write();
  std::ofstream(folder_ / "tokenizer.json") << "{}";
  const auto from = open_model(folder_);
  const auto to = grown(from, {.n_experts = 4, .top_k = 2});
  EXPECT_LE(logit_change(from, to), kRounding);
  EXPECT_EQ(read_file(to.folder / "origin" / "tokenizer.json"), "{}");
  EXPECT_EQ(tokenizers_of(to), tokenizers_of(from));
  EXPECT_EQ(to.longest_sequence, 64);
  EXPECT_EQ(to.state.at(kUpcycledKey).at("kind"), Json("llama"));
  const auto exported = export_model(to.folder, root_ / "exported");
  EXPECT_EQ(exported.family, "mixtral");
  EXPECT_LE(logit_change(from, open_model(root_ / "exported")), kRounding);
}

// The file may be named by nothing but the description of a set that the run drew from.
TEST_F(Upcycle, OfARunTakesTheTokenizerOfItsSetsAlong) {
  auto from = parent();
  const fs::path file = root_ / "old.model", text = root_ / "text.txt";
  for (int i = 0; i < 60; ++i) std::ofstream(text, std::ios::app) << "abcabd bcdabc dabcab\n";
  data::train_tokenizer({.kind = "bpe", .vocab_size = 268}, {text}, file);
  std::ofstream(root_ / "en.json") << R"({"format": "evenkeel.data.v1", "tokenizer": "old.model"})";
  const Json source = Json::Object{{"path", (root_ / "en").string()}, {"tokenizer_sha256", sha256_file(file)}};
  from.state["phases"] = Json::Array{Json::Object{{"sources", Json::Array{source}}}};
  const auto to = grown(from, {.n_experts = 4, .top_k = 2});
  const fs::path kept = to.folder / "origin" / "tokenizer.model";
  EXPECT_EQ(read_file(kept), read_file(file));
  EXPECT_EQ(tokenizers_of(to), tokenizers_of(from));
  EXPECT_EQ(tokenizer_places(to), (std::vector<std::string>{kept.string(), file.string()}));
  fs::remove(root_ / "en.json");
  fs::remove(file);
  EXPECT_EQ(largest_tokenizer(to), kept.string());
  export_model(to.folder, root_ / "exported");
  EXPECT_TRUE(fs::exists(root_ / "exported" / "tokenizer.model"));
}

TEST_F(Upcycle, DrawsBySeedLayerAndExpert) {
  const auto from = parent();
  const UpcycleOptions drop{.n_experts = 3, .top_k = 2, .method = UpcycleMethod::drop};
  auto other = drop;
  other.seed = 2;
  const auto first = load_params(grown(from, drop)), again = load_params(grown(from, drop, "again")),
             second = load_params(grown(from, other, "second"));
  for (const auto& [name, value] : first) EXPECT_TRUE(same_bits(value, again.at(name))) << name;
  const auto experts = [](const ops::Params& params, int64_t layer) {
    return params.at("layers." + std::to_string(layer) + ".experts.gate_up");
  };
  EXPECT_FALSE(same_bits(experts(first, 0), experts(second, 0)));
  EXPECT_FALSE(same_bits(experts(first, 0)[0], experts(first, 0)[1]));
  EXPECT_FALSE(same_bits(first.at("layers.0.router.weight"), second.at("layers.0.router.weight")));
  EXPECT_FALSE(same_bits(first.at("layers.0.router.weight"), first.at("layers.1.router.weight")));
  // Half of the 24 rows of gate are rows of the parent.
  const auto gate = load_params(from).at("layers.0.ffn.gate_up.weight").narrow(0, 0, 24);
  int64_t n_kept = 0;
  for (int64_t row = 0; row < 24; ++row)
    for (int64_t old = 0; old < 24; ++old) n_kept += same_bits(experts(first, 0)[1][row], gate[old]) ? 1 : 0;
  EXPECT_EQ(n_kept, 12);
}

// ---- more experts ----

const std::string kExperts = "n_experts = 4\ntop_k = 2\nd_expert = 6\nmoe_layers = [1]\n";

TEST_F(Upcycle, AddsExpertsBehindThoseThatAreThere) {
  const auto from = parent(kExperts + "expert_bias = true\nrouter_bias = true");
  const auto to = grown(from, {.n_experts = 6});
  const auto before = load_params(from), after = load_params(to);
  for (const auto& [name, value] : before) {
    const bool has_experts = name.find("experts.") != std::string::npos || name.find("router.") != std::string::npos;
    EXPECT_TRUE(same_bits(has_experts ? after.at(name).narrow(0, 0, 4) : after.at(name), value)) << name;
    if (!has_experts || name.ends_with("router.weight")) continue;
    EXPECT_TRUE(same_bits(after.at(name).narrow(0, 4, 2), value.narrow(0, 0, 2))) << name;
  }
  const auto rows = after.at("layers.1.router.weight");
  for (const int64_t expert : {4, 5}) {
    const double change = (rows[expert] - rows[expert - 4]).norm().item<double>();
    EXPECT_GT(change, 0);
    EXPECT_LE(change, 0.03 * rows[expert - 4].norm().item<double>());  // 0.01 of a standard deviation, 16 draws
  }
}

// Each token takes the copies of its experts too: all weights are halved, and so are their sums.
TEST_F(Upcycle, DoubledWithTwiceTheChoicesKeepTheFunction) {
  for (const std::string router : {"renormalize = true", "score = \"softmax_post\"", "renormalize = false"}) {
    fs::remove_all(root_ / "parent");
    const auto from = parent(kExperts + "router = {" + router + "}");
    EXPECT_LE(logit_change(from, grown(from, {.n_experts = 8, .top_k = 4, .router_noise = 0})), kRounding) << router;
  }
}

TEST_F(Upcycle, ExtendsBalancingStates) {
  const auto from = parent(kExperts + "router = {kind = \"loss_free\"}");
  const auto to = grown(from, {.n_experts = 7});
  const auto old = load_router_states(from, model::Transformer(from.config)),
             now = load_router_states(to, model::Transformer(to.config));
  ASSERT_EQ(now.size(), 1U);
  EXPECT_TRUE(same_bits(now[0].at("bias").narrow(0, 0, 4), old[0].at("bias")));
  EXPECT_TRUE(same_bits(now[0].at("bias").narrow(0, 4, 3), old[0].at("bias").narrow(0, 0, 3)));
  EXPECT_TRUE(same_bits(now[0].at("steps"), old[0].at("steps")));
}

TEST_F(Upcycle, ChangesOnlyNewExperts) {
  const auto from = parent(kExperts);
  const auto before = load_params(from).at("layers.1.experts.down");
  for (const auto method : {UpcycleMethod::drop, UpcycleMethod::noise}) {
    const auto after = load_params(grown(from, {.n_experts = 5, .method = method})).at("layers.1.experts.down");
    EXPECT_TRUE(same_bits(after.narrow(0, 0, 4), before));
    EXPECT_FALSE(same_bits(after[4], before[0]));
  }
}

}  // namespace
}  // namespace evenkeel::checkpoint
