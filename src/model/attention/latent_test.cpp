#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "model/attention/attention.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Two heads of 6 + 4 for queries and keys, 5 for values.
ModelConfig config_of(const std::string& options = "", const std::string& more = "") {
  return read_model_config(parse_toml(
      "vocab_size = 10\nd_model = 8\nn_layers = 1\nn_heads = 2\nhead_dim = 10\nd_ff = 5\n"
      "rope_pairs = \"interleaved\"\n" +
          more + "\nattention = {kind = \"latent\", kv_rank = 7, rope_dim = 4, value_dim = 5" + options + "}",
      "m.toml", ""));
}

std::vector<at::Tensor> tensors_of(const Attention& attention) {
  std::vector<at::Tensor> out;
  for (const auto& spec : attention.parameters())
    out.push_back(testing::random_tensor(spec.shape, 10 + out.size(), 0.5));
  return out;
}

const ModelInput kInput{.tokens = at::zeros({1, 4}, at::kLong)};

Pass pass_of(const Attention& attention) {
  return Pass(kInput, {}, {{*attention.rotation()}, {*attention.sight()}}, at::kDouble);
}

at::Tensor normed(const at::Tensor& x, const at::Tensor& weight) {
  return x / (x.square().mean(-1, true) + 1e-6).sqrt() * weight;
}

// The position s turns the pair (2j, 2j + 1) by s theta^(-2j / 4).
at::Tensor turned(const at::Tensor& x, int64_t s) {
  std::vector<at::Tensor> out;
  for (int64_t j = 0; j < 2; ++j) {
    const double angle = static_cast<double>(s) * std::pow(1e4, -0.5 * static_cast<double>(j));
    out.push_back(x[2 * j] * std::cos(angle) - x[2 * j + 1] * std::sin(angle));
    out.push_back(x[2 * j + 1] * std::cos(angle) + x[2 * j] * std::sin(angle));
  }
  return at::stack(out);
}

// One query and one key at a time, as section 2.1 of arXiv 2405.04434 writes it. x [S, H].
at::Tensor naive(const at::Tensor& x, const std::vector<at::Tensor>& query_of, const std::vector<at::Tensor>& rest) {
  const auto &kv_a = rest[0], &kv_norm = rest[1], &kv_b = rest[2], &out = rest[3];
  const int64_t S = x.size(0);
  std::vector<at::Tensor> rows;
  for (int64_t s = 0; s < S; ++s) {
    auto from = x[s];
    if (query_of.size() == 3) from = normed(at::linear(from, query_of[0]), query_of[1]);
    const auto queries = at::linear(from, query_of.back()).view({2, 10});
    std::vector<at::Tensor> heads;
    for (int64_t h = 0; h < 2; ++h) {
      const auto q = at::cat({queries[h].narrow(0, 0, 6), turned(queries[h].narrow(0, 6, 4), s)});
      std::vector<at::Tensor> scores, values;
      for (int64_t t = 0; t <= s; ++t) {
        const auto a = at::linear(x[t], kv_a);
        const auto kv = at::linear(normed(a.narrow(0, 0, 7), kv_norm), kv_b).view({2, 11})[h];
        const auto k = at::cat({kv.narrow(0, 0, 6), turned(a.narrow(0, 7, 4), t)});
        scores.push_back(q.dot(k) / std::sqrt(10.0));
        values.push_back(kv.narrow(0, 6, 5));
      }
      heads.push_back(at::softmax(at::stack(scores), 0).matmul(at::stack(values)));
    }
    rows.push_back(at::linear(at::cat(heads), out));
  }
  return at::stack(rows);
}

TEST(LatentAttention, IsTheFormulaWithAndWithoutALatentQuery) {
  const auto x = testing::random_tensor({1, 4, 8}, 1);
  for (const auto& [options, n_query] : {std::pair("", 1), {", q_rank = 3", 3}}) {
    const auto attention = make_attention(config_of(options), 0);
    const auto params = tensors_of(*attention);
    const std::vector<at::Tensor> query(params.begin(), params.begin() + n_query),
        rest(params.begin() + n_query, params.end());
    // fp64: sums of 10
    testing::expect_close(attention->forward(params, x, pass_of(*attention))[0], naive(x[0], query, rest), 1e-12, 1e-13,
                          std::string("latent") + options);
  }
}

TEST(LatentAttention, AddsBiasesWhereItsFamilyHasThem) {
  const auto attention = make_attention(config_of(", q_rank = 3, bias = true"), 0);
  std::vector<std::string> names;
  for (const auto& spec : attention->parameters()) names.push_back(spec.name);
  EXPECT_EQ(names, (std::vector<std::string>{"attention.q_a.weight", "attention.q_a.bias", "attention.q_norm.weight",
                                             "attention.q_b.weight", "attention.kv_a.weight", "attention.kv_a.bias",
                                             "attention.kv_norm.weight", "attention.kv_b.weight",
                                             "attention.out.weight", "attention.out.bias"}));
  // A bias equals an input of 1 beside the others.
  const auto plain = make_attention(config_of(", q_rank = 3"), 0);
  auto params = tensors_of(*attention);
  const auto x = testing::random_tensor({1, 4, 8}, 1);
  auto without = params;
  without.erase(without.begin() + 9);
  without.erase(without.begin() + 5);
  without.erase(without.begin() + 1);
  for (const size_t bias : {1, 5, 9}) params[bias] = at::zeros_like(params[bias]);
  EXPECT_TRUE(testing::same_bits(attention->forward(params, x, pass_of(*attention)),
                                 plain->forward(without, x, pass_of(*plain))));
  params[9] = testing::random_tensor({8}, 5);
  testing::expect_close(attention->forward(params, x, pass_of(*attention)),
                        plain->forward(without, x, pass_of(*plain)) + params[9], 1e-14, 1e-14, "output bias");
}

// DeepSeek-V2-Lite: m = 0.1 x 0.707 ln 40 + 1 = 1.2608, and its square is on the scores.
TEST(LatentAttention, ScalesScoresByTheSquareOfYarnsMscale) {
  const std::string yarn =
      "rope_scaling = {kind = \"yarn\", factor = 40.0, original_length = 4096, mscale = 0.707, "
      "mscale_all_dim = 0.707}";
  const double m = 0.1 * 0.707 * std::log(40.0) + 1;
  const auto usual = make_attention(config_of("", yarn), 0),
             given = make_attention(config_of(", scale = " + format_double(m * m / std::sqrt(10.0)), yarn), 0);
  const auto params = tensors_of(*usual);
  const auto x = testing::random_tensor({1, 4, 8}, 1);
  testing::expect_close(usual->forward(params, x, pass_of(*usual)), given->forward(params, x, pass_of(*given)), 1e-14,
                        1e-14, "scale");
}

TEST(LatentAttention, GradientsMatchFiniteDifferences) {
  const auto attention = make_attention(config_of(", q_rank = 3, bias = true"), 0);
  const Pass pass = pass_of(*attention);
  const auto c = testing::random_tensor({1, 4, 8}, 3);
  auto inputs = tensors_of(*attention);
  inputs.push_back(testing::random_tensor({1, 4, 8}, 4));
  testing::expect_gradients(
      [&](const auto& in) {
        return (attention->forward(PartTensors(in).first(in.size() - 1), in.back(), pass) * c).sum();
      },
      inputs);
}

TEST(LatentAttention, SaysWhatItCosts) {
  const auto attention = make_attention(config_of(", q_rank = 3"), 0);
  EXPECT_EQ(attention->cache_floats(10), 10 * (7 + 4));
  const double matrices = 3 * 8 + 2 * 10 * 3 + 11 * 8 + 2 * 11 * 7 + 8 * 10;
  EXPECT_EQ(attention->flops_per_token(10),
            2 * matrices + 2 * (10.0 / 2) * 2 * (10 + 5));  // scores and values, half seen
}

TEST(LatentAttention, RefusesWhatItCannotBe) {
  const auto refusal = [](const std::string& options, const std::string& more = "") {
    return testing::message_of<ConfigError>([&] { config_of(options, more); });
  };
  EXPECT_THAT(refusal("", "n_kv_heads = 1"), AllOf(HasSubstr("n_kv_heads = 1"), HasSubstr("need 2")));
  EXPECT_THAT(refusal("", "qk_norm = true"), HasSubstr("model.qk_norm = true"));
  const auto read = [](const std::string& attention) {
    return testing::message_of<ConfigError>([&] {
      read_model_config(parse_toml(
          "vocab_size = 10\nd_model = 8\nn_layers = 1\nn_heads = 2\nd_ff = 5\nattention = " + attention, "m.toml", ""));
    });
  };
  EXPECT_THAT(read("{kind = \"latent\", rope_dim = 2}"), HasSubstr("model.attention.kv_rank = 0; need 1"));
  EXPECT_THAT(read("{kind = \"latent\", kv_rank = 4, rope_dim = 3}"), HasSubstr("rope_dim = 3; need an even number"));
  EXPECT_THAT(read("{kind = \"latent\", kv_rank = 4, rope_dim = 4}"), HasSubstr("less than model.head_dim = 4"));
  EXPECT_THAT(read("{kind = \"latent\", kv_rank = 4, rope_dim = 2, window = 3}"), HasSubstr("window"));
}

}  // namespace
}  // namespace evenkeel::model
