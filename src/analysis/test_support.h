// What the tests of traces and runs share: a tiny model, a tiny data set, made observations, and their comparison.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/remainder.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "analysis/forward.h"
#include "analysis/trace_info.h"
#include "core/rng.h"
#include "data/indexed_dataset.h"
#include "model/init.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::analysis {

constexpr int64_t kTestVocabulary = 16;

// Three layers, of which 0 and 2 have 4 experts, two a token; `router` is the rest of the recipe's [model].
inline LoadedModel tiny_model(uint64_t seed = 1, const std::string& router = "") {
  const std::string text =
      "vocab_size = 16\nd_model = 8\nn_layers = 3\nn_heads = 2\nd_ff = 12\nn_experts = 4\ntop_k = 2\nd_expert = "
      "6\nmoe_layers = [0, 2]\n" +
      router;
  model::Transformer model(model::read_model_config(parse_toml(text, "tiny", "")));
  ops::Params params;
  for (const auto& [name, tensor] : model::init_params(model.config(), seed))
    params.add(name, name.find("norm") == std::string::npos ? tensor * 30 : tensor);  // routers that choose
  auto states = model.initial_router_states();
  return {"tiny-" + std::to_string(seed), std::move(model), std::move(params), std::move(states)};
}

// Batch `number` of a run, by itself.
inline Forward run_forward(const LoadedModel& model, const LoadedModel* reference, const data::Batch& batch,
                           int64_t number, const ForwardOptions& options) {
  int64_t n_left = number + 1;
  Forwards forwards(
      model, reference,
      [&] {
        return n_left-- > 0 ? batch : data::Batch{at::zeros({0, 0}), {}, {}, {}, {}, {}};
      },
      options);
  for (; number > 0; --number) forwards.next();
  return forwards.next().value();
}

// Documents of 7 random tokens.
inline std::string write_documents(const testing::TemporaryFolder& folder, const std::string& name, int64_t n_tokens,
                                   uint64_t seed = 1) {
  data::IndexedDatasetWriter writer(folder / name, kTestVocabulary);
  RngStream rng(seed, "documents");
  for (int64_t first = 0; first < n_tokens; first += 7) {
    std::vector<int32_t> ids;
    for (int64_t i = first; i < std::min(first + 7, n_tokens); ++i)
      ids.push_back(static_cast<int32_t>(rng.below(kTestVocabulary)));
    writer.add_document(ids);
  }
  writer.commit();
  return (folder / name).string();
}

// The trace of a model over windows, as `evenkeel trace` writes it.
inline TraceInfo trace_info(const LoadedModel& model, const Windows& windows, int64_t batch_size) {
  TraceInfo info;
  info.name = "a";
  info.model = model.name;
  info.n_windows = windows.n_windows();
  info.length = windows.length();
  info.n_experts = model.model.config().n_experts;
  info.top_k = model.model.config().top_k;
  info.vocab_size = model.vocab_size();
  info.batch_size = batch_size;
  for (const auto& layer : moe_layers(model.model.config())) info.layers.push_back(layer.layer);
  return info;
}

// Tokens 0 .. n-1 of one layer with 0 .. E experts each: of sequences [B, S], or of a window of S tokens.
inline moe::RoutingDecision free_choice(const std::vector<std::vector<int64_t>>& experts, int64_t n_experts,
                                        int64_t n_sequences) {
  moe::RoutingDecision out;
  out.n_tokens = static_cast<int64_t>(experts.size());
  out.n_experts = n_experts;
  out.top_k = 2;
  out.n_sequences = n_sequences;
  std::vector<int64_t> token_ids, expert_ids;
  std::vector<float> weights;
  for (size_t t = 0; t < experts.size(); ++t)
    for (const int64_t expert : experts[t]) {
      token_ids.push_back(static_cast<int64_t>(t));
      expert_ids.push_back(expert);
      weights.push_back(static_cast<float>(t) + 0.25f * static_cast<float>(expert));
    }
  out.token_ids = at::tensor(token_ids, at::kLong);
  out.expert_ids = at::tensor(expert_ids, at::kLong);
  out.weights = at::tensor(weights, at::kFloat);
  return out;
}

// Ids that differ from each other, [n_rows, length].
inline Observation made_observation(int64_t n_rows, int64_t length, int64_t first) {
  Observation out;
  const auto ids = at::arange(first, first + n_rows * length).view({n_rows, length});
  out.input_ids = ids.remainder(kTestVocabulary);
  out.target_ids = (ids + 1).remainder(kTestVocabulary);
  out.predicted_ids = (ids * 3).remainder(kTestVocabulary);
  out.document_ids = (ids / 4).to(at::kInt);
  return out;
}

inline bool same(const at::Tensor& a, const at::Tensor& b) {
  return a.defined() == b.defined() && (!a.defined() || testing::same_bits(a, b));
}

inline void expect_same(const moe::RoutingDecision& a, const moe::RoutingDecision& b, const std::string& what) {
  EXPECT_EQ(a.layer, b.layer) << what;
  EXPECT_EQ(a.n_tokens, b.n_tokens) << what;
  EXPECT_EQ(a.n_experts, b.n_experts) << what;
  EXPECT_EQ(a.top_k, b.top_k) << what;
  EXPECT_EQ(a.n_sequences, b.n_sequences) << what;
  EXPECT_EQ(a.capacity, b.capacity) << what;
  EXPECT_TRUE(a.score == b.score) << what;
  EXPECT_TRUE(same(a.logits, b.logits)) << what << " logits";
  EXPECT_TRUE(same(a.token_ids, b.token_ids)) << what << " token_ids";
  EXPECT_TRUE(same(a.expert_ids, b.expert_ids)) << what << " expert_ids";
  EXPECT_TRUE(same(a.weights, b.weights)) << what << " weights";
  EXPECT_TRUE(same(a.dropped, b.dropped)) << what << " dropped";
  EXPECT_TRUE(same(a.is_padding, b.is_padding)) << what << " is_padding";
}

inline void expect_same(const Observation& a, const Observation& b, const std::string& what) {
  EXPECT_TRUE(same(a.input_ids, b.input_ids)) << what << " input_ids";
  EXPECT_TRUE(same(a.target_ids, b.target_ids)) << what << " target_ids";
  EXPECT_TRUE(same(a.predicted_ids, b.predicted_ids)) << what << " predicted_ids";
  EXPECT_TRUE(same(a.document_ids, b.document_ids)) << what << " document_ids";
  EXPECT_TRUE(same(a.is_padding, b.is_padding)) << what << " is_padding";
  ASSERT_EQ(a.routing.size(), b.routing.size()) << what;
  for (size_t i = 0; i < a.routing.size(); ++i)
    expect_same(a.routing[i], b.routing[i], what + ", MoE layer " + std::to_string(i));
}

}  // namespace evenkeel::analysis
