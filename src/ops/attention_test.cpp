#include "ops/attention.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/gradients.h"

namespace evenkeel::ops {
namespace {

using testing::random_tensor;

at::Tensor mask_of(const at::Tensor& documents, at::ScalarType dtype = at::kDouble) {
  return attention_mask({}, {documents, {}}, documents.size(1), dtype);
}

struct Naive {
  int64_t window = 0;
  double scale = 0;                // 0 = 1 / sqrt(D)
  std::vector<double> sinks = {};  // of each head
};

// One query, key and value at a time; documents undefined = one document.
at::Tensor naive_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& documents,
                           const Naive& with = {}) {
  const int64_t B = q.size(0), S = q.size(1), heads = q.size(2), D = q.size(3), group = heads / k.size(2);
  const double scale = with.scale != 0 ? with.scale : 1 / std::sqrt(static_cast<double>(D));
  auto out = at::zeros({B, S, heads, v.size(3)}, q.options());
  for (int64_t b = 0; b < B; ++b)
    for (int64_t s = 0; s < S; ++s)
      for (int64_t h = 0; h < heads; ++h) {
        std::vector<double> weights;
        double sum = with.sinks.empty() ? 0 : std::exp(with.sinks[static_cast<size_t>(h)]);
        for (int64_t t = 0; t <= s; ++t) {
          const bool same = !documents.defined() || documents[b][s].item<int64_t>() == documents[b][t].item<int64_t>();
          const bool sees = same && (with.window == 0 || s - t < with.window);
          weights.push_back(sees ? std::exp(q[b][s][h].dot(k[b][t][h / group]).item<double>() * scale) : 0);
          sum += weights.back();
        }
        for (int64_t t = 0; t <= s; ++t) out[b][s][h] += v[b][t][h / group] * (weights[static_cast<size_t>(t)] / sum);
      }
  return out.reshape({B, S, heads * v.size(3)});
}

TEST(Attention, FirstPositionReturnsItsValue) {
  const auto q = random_tensor({2, 3, 2, 4}, 1), v = random_tensor({2, 3, 2, 4}, 2);
  testing::expect_close(causal_attention(q, q, v, {}).select(1, 0), v.select(1, 0).reshape({2, 8}), 1e-14, 1e-14,
                        "position 0");
}

TEST(Attention, MatchesTheFormulaWithGroupsAndDocuments) {
  const auto q = random_tensor({2, 5, 4, 3}, 3), k = random_tensor({2, 5, 2, 3}, 4), v = random_tensor({2, 5, 2, 3}, 5);
  const auto documents = at::tensor({0, 0, 1, 1, 1, 3, 4, 4, 4, 5}, at::kInt).view({2, 5});
  // fp64: products of 3, softmaxes of 5
  testing::expect_close(causal_attention(q, k, v, {}), naive_attention(q, k, v, {}), 1e-13, 1e-13, "causal");
  testing::expect_close(causal_attention(q, k, v, {mask_of(documents)}), naive_attention(q, k, v, documents), 1e-13,
                        1e-13, "documents");
  const auto f = [](const at::Tensor& x) { return x.to(at::kFloat); };
  testing::expect_close(causal_attention(f(q), f(k), f(v), {}), naive_attention(q, k, v, {}), 1e-5, 1e-6,
                        "fp32");  // exp of sums of 3
  testing::expect_close(causal_attention(f(q), f(k), f(v), {mask_of(documents, at::kFloat)}),
                        naive_attention(q, k, v, documents), 1e-5, 1e-6, "fp32 documents");
}

TEST(Attention, SeesNothingLaterAndNoOtherDocument) {
  const auto q = random_tensor({1, 6, 2, 4}, 6);
  const auto documents = at::tensor({0, 0, 0, 1, 1, 1}, at::kInt).view({1, 6});
  auto changed = q.clone();
  changed[0][4] += 1.0;
  const auto before = causal_attention(q, q, q, {}), after = causal_attention(changed, changed, changed, {});
  EXPECT_TRUE(testing::same_bits(before.narrow(1, 0, 4), after.narrow(1, 0, 4)));
  EXPECT_FALSE(testing::same_bits(before.narrow(1, 4, 1), after.narrow(1, 4, 1)));
  changed = q.clone();
  changed[0][1] += 1.0;
  const auto apart = causal_attention(q, q, q, {mask_of(documents)}),
             apart_changed = causal_attention(changed, changed, changed, {mask_of(documents)});
  EXPECT_TRUE(testing::same_bits(apart.narrow(1, 3, 3), apart_changed.narrow(1, 3, 3)));
}

TEST(Attention, GradientsMatchFiniteDifferences) {
  const auto c = random_tensor({1, 3, 8}, 7);
  const auto documents = at::tensor({0, 0, 1}, at::kInt).view({1, 3});
  for (const auto& mask : {at::Tensor(), mask_of(documents)})
    testing::expect_gradients(
        [&](const auto& in) { return (causal_attention(in[0], in[1], in[2], {mask}) * c).sum(); },
        {random_tensor({1, 3, 4, 2}, 8), random_tensor({1, 3, 2, 2}, 9), random_tensor({1, 3, 2, 2}, 10)});
}

// Scale, sinks, windows and values of another width, alone and together, with groups.
TEST(Attention, MatchesTheFormulaOfItsForms) {
  const auto q = random_tensor({2, 6, 4, 3}, 11), k = random_tensor({2, 6, 2, 3}, 12),
             v = random_tensor({2, 6, 2, 5}, 13);
  const auto documents = at::tensor({0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 3}, at::kInt).view({2, 6});
  const std::vector<double> logits = {0.5, -1.0, 2.0, 0.0};
  const auto sinks = at::tensor(logits, at::kDouble);
  const auto mask = [&](int64_t window, const at::Tensor& ids) {
    return attention_mask({window}, {ids, {}}, 6, at::kDouble);
  };
  const auto check = [&](const at::Tensor& got, const at::Tensor& need, const std::string& what) {
    testing::expect_close(got, need, 1e-13, 1e-13, what);  // fp64: products of 3, softmaxes of 7
  };
  check(causal_attention(q, k, v, {{}, 0.3, {}}), naive_attention(q, k, v, {}, {.scale = 0.3}), "scale");
  const auto narrow = v.narrow(3, 0, 3).contiguous();  // as wide as the keys: the way without [S, S]
  for (const auto& values : {v, narrow})
    check(causal_attention(q, k, values, {{}, 0, sinks}), naive_attention(q, k, values, {}, {.sinks = logits}),
          "sinks");
  for (const int64_t window : {1, 2, 5})
    check(causal_attention(q, k, v, {mask(window, {})}), naive_attention(q, k, v, {}, {.window = window}), "window");
  for (const auto& values : {v, narrow})
    check(causal_attention(q, k, values, {mask(3, documents), 0.7, sinks}),
          naive_attention(q, k, values, documents, {.window = 3, .scale = 0.7, .sinks = logits}), "all");
  for (const int64_t window : {0, 6, 7}) EXPECT_FALSE(mask(window, {}).defined()) << window;  // sees all
}

// Values as wide as the keys, and not: two ways. With and without a mask, a scale and groups.
TEST(Attention, GradientsOfSinksMatchFiniteDifferences) {
  const auto window = attention_mask({2}, {}, 3, at::kDouble);
  for (const int64_t width : {2, 3})
    for (const auto& [mask, scale] : {std::pair(window, 0.0), {at::Tensor(), 0.4}}) {
      const auto c = random_tensor({2, 3, 4 * width}, 17);
      testing::expect_gradients(
          [&, mask = mask, scale = scale](const auto& in) {
            return (causal_attention(in[0], in[1], in[2], {mask, scale, in[3]}) * c).sum();
          },
          {random_tensor({2, 3, 4, 2}, 18), random_tensor({2, 3, 2, 2}, 19), random_tensor({2, 3, 2, width}, 20),
           random_tensor({4}, 21)});
    }
}

// A logit far above all scores takes all of the weight; one far below takes none. Neither overflows.
TEST(Attention, SinksOfAnySizeGiveNumbers) {
  const auto q = random_tensor({1, 4, 2, 3}, 22).to(at::kFloat);
  const auto out = causal_attention(q, q, q, {{}, 0, at::tensor({200.0f, -200.0f})}).view({1, 4, 2, 3});
  EXPECT_TRUE(testing::same_bits(out.select(2, 0), at::zeros({1, 4, 3}, at::kFloat)));
  const auto plain = causal_attention(q, q, q).view({1, 4, 2, 3});
  EXPECT_TRUE(testing::same_bits(out.select(2, 1).contiguous(), plain.select(2, 1).contiguous()));
}

// The average of min(s + 1, w), where a whole sequence of S counts S / 2.
TEST(MeanSeen, CountsAWindow) {
  EXPECT_EQ(mean_seen({}, 8), 4);
  EXPECT_EQ(mean_seen({8}, 8), 4);
  EXPECT_EQ(mean_seen({100}, 8), 4);
  EXPECT_EQ(mean_seen({2}, 8), (2.0 * 2 / 2 + 6 * 2) / 8);
}

TEST(AttentionMask, ShowsEarlierPositionsOfTheSameDocument) {
  const auto mask = mask_of(at::tensor({4, 4, 5}, at::kInt).view({1, 3}), at::kFloat);
  const float hidden = -std::numeric_limits<float>::infinity();
  EXPECT_TRUE(testing::same_bits(
      mask, at::tensor({0.0f, hidden, hidden, 0.0f, 0.0f, hidden, hidden, hidden, 0.0f}).view({1, 1, 3, 3})));
}

// Documents of 3 and 2 tokens, whose first 2 and 1 are prefixes.
TEST(AttentionMask, ShowsAPrefixToAllOfItself) {
  const auto documents = at::tensor({0, 0, 0, 1, 1}, at::kInt).view({1, 5});
  const auto prefix = at::tensor({1, 1, 0, 1, 0}, at::kInt).view({1, 5}).to(at::kBool);
  const auto sees = [&](const at::Tensor& ids) {
    return attention_mask({}, {ids, prefix}, 5, at::kDouble).eq(0.0).to(at::kInt).view({5, 5});
  };
  EXPECT_TRUE(testing::same_bits(
      sees(documents),
      at::tensor({1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1}, at::kInt).view({5, 5})));
  EXPECT_TRUE(testing::same_bits(
      sees({}),
      at::tensor({1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1}, at::kInt).view({5, 5})));
}

TEST(SegmentStarts, AreWhereTheDocumentChanges) {
  const auto documents = at::tensor({0, 0, 0, 1, 1, 2, 3, 4, 4, 4, 4, 4}, at::kInt).view({2, 6});
  EXPECT_TRUE(testing::same_bits(segment_starts(documents),
                                 at::tensor({0, 0, 0, 3, 3, 5, 0, 1, 1, 1, 1, 1}, at::kLong).view({2, 6})));
  EXPECT_EQ(segment_starts(at::zeros({1, 1}, at::kInt)).item<int64_t>(), 0);
  // An id that comes back is another document.
  EXPECT_TRUE(testing::same_bits(segment_starts(at::tensor({7, 8, 7}, at::kInt).view({1, 3})),
                                 at::tensor({0, 1, 2}, at::kLong).view({1, 3})));
}

}  // namespace
}  // namespace evenkeel::ops
