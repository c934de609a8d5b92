// The registered routers in every form that the contract suite runs them in, and inputs to run them on.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ops/arange.h>
#include <ATen/ops/eye.h>

#include "moe/router.h"
#include "support/gradients.h"

namespace evenkeel::testing {

struct RouterForm {
  std::string kind;
  std::string keys;             // of [model.router], beside kind
  int64_t smallest_k = 1;       // of forms that refuse k = 1
  int64_t largest_k = 1 << 30;  // of forms whose groups have fewer experts
  int64_t k_step = 1;
  std::vector<int64_t> experts = {1, 2, 5, 8};

  bool draws() const { return kind == "random" || keys.find("jitter") != std::string::npos; }
  std::string name() const {  // of a test
    std::string out = kind + "_";
    for (const char c : keys)
      if (std::isalnum(static_cast<unsigned char>(c)) != 0) out += c;
    return out;
  }
  bool has_groups() const { return keys.find("n_groups") != std::string::npos; }
  // All k of a model with E experts that the form takes.
  std::vector<int64_t> choices(int64_t n_experts, int64_t max_top_k) const {
    std::vector<int64_t> out;
    for (int64_t k = smallest_k; k <= std::min({n_experts, largest_k, max_top_k}); k += k_step) out.push_back(k);
    return out;
  }
};
inline void PrintTo(const RouterForm& form, std::ostream* out) { *out << form.kind << " {" << form.keys << "}"; }

// A new router's forms go here: every option of its docs/routers.md section at least once.
inline std::vector<RouterForm> router_forms() {
  std::vector<RouterForm> out;
  const auto add = [&](const std::string& kind, const std::string& keys) { out.push_back({kind, keys}); };
  const auto add_scores = [&](const std::string& kind) {
    for (const std::string score : {"softmax_pre", "softmax_post", "sigmoid", "sqrtsoftplus"})
      for (const std::string renormalize : {"false", "true"})
        out.push_back(
            {kind, "score = \"" + score + "\"\nrenormalize = " + renormalize, score == "softmax_post" ? 2 : 1});
    out.push_back({kind, "renormalize = true\nnorm_p = 2", 2});
    out.push_back({kind, "renormalize = true\nrenormalize_one = true", 1, 1});
    add(kind, "scaling = 2.5");
  };
  const auto add_groups = [&](const std::string& kind) {
    out.push_back({kind, "n_groups = 4", 1, 2, 1, {8}});
    for (const std::string score : {"max", "top2_sum"})
      out.push_back({kind, "n_groups = 4\ngroups_per_token = 2\ngroup_score = \"" + score + "\"", 1, 4, 1, {8}});
    out.push_back({kind, "n_groups = 4\ngroups_per_token = 2\ngroup_score = \"top_k_over_groups_sum\"", 2, 4, 2, {8}});
    out.push_back({kind, "n_groups = 4\ngroups_per_token = 2\ngroup_mask = \"zero\"", 1, 4, 1, {8}});
  };
  const auto add_jitter = [&](const std::string& kind) {
    for (const std::string target : {"router_input", "hidden", "logits"})
      add(kind, "jitter = 0.3\njitter_target = \"" + target + "\"");
    add(kind, "jitter = 0.3\njitter_at_eval = true");
    add(kind, "jitter_target = \"logits_gaussian\"");
  };
  add("top_k", "");
  add_scores("top_k");
  add_groups("top_k");
  add_jitter("top_k");
  add("loss_free", "");
  add_scores("loss_free");
  add_groups("loss_free");
  add_jitter("loss_free");
  for (const std::string keys :
       {"rate = 0.05", "rate = 0.05\nupdate = \"proportional\"", "rate = 0.05\ncounts = \"after_drops\"",
        "rate = 0.05\nrate_until = \"2 steps\"", "rate = 0.05\nrate_until = \"40 tokens\""})
    add("loss_free", keys);
  add("quantile", "");
  add("quantile", "ema = 0.5");
  add_scores("quantile");
  add_jitter("quantile");
  for (const std::string variant : {"log", "megatron", "neox"})
    for (const std::string renormalize : {"false", "true"})
      add("sinkhorn", "variant = \"" + variant + "\"\nrenormalize = " + renormalize);
  for (const std::string keys : {"tolerance = 0.5", "max_iterations = 1", "at_eval = true", "scope = \"step\"",
                                 "variant = \"megatron\"\nat_eval = true"})
    add("sinkhorn", keys);
  add_jitter("sinkhorn");
  add("sinkhorn", "jitter = 0.3\nat_eval = true\njitter_at_eval = true");
  for (const std::string keys : {"", "factor = 0.5", "group = \"sequence\""}) add("expert_choice", keys);
  for (const std::string keys : {"", "max_rounds = 1"}) add("base", keys);
  for (const std::string keys : {"", "by = \"frequency\""}) add("hash", keys);
  add("random", "");
  add("uniform", "");
  return out;
}

inline ConfigNode form_config(const std::string& kind, const std::string& keys) {
  return parse_toml("kind = \"" + kind + "\"\n" + keys, "recipe.toml", "");
}

// A router with the state that a run begins with.
struct TestedRouter {
  static constexpr int64_t kVocabulary = 61;

  TestedRouter(const RouterForm& of, int64_t n_experts, int64_t top_k)
      : form(of),
        shape{n_experts, top_k, kVocabulary},
        router(moe::make_router(shape, form_config(form.kind, form.keys))),
        traits(router->traits()),
        state(initial_state()) {}

  ops::Params initial_state() const {
    return router->initial_state({3, 11, at::arange(kVocabulary, at::kLong) * 7 % 19});
  }

  // `hidden` [T, H] with the matrix `weight` [E, H], sequence by sequence.
  moe::RouterInput input(const at::Tensor& hidden, const at::Tensor& weight, moe::Mode mode = moe::Mode::train,
                         int64_t n_sequences = 1) const {
    moe::RouterInput out;
    out.hidden = hidden;
    if (traits.has_matrix) out.weight = weight;
    out.token_ids = random_ids(hidden.size(0), kVocabulary, 5);
    out.n_sequences = n_sequences;
    out.mode = mode;
    out.state = &state;
    out.seed = 23;
    out.layer = 3;
    out.step = 17;
    return out;
  }
  // With these logits [T, E], to the bit.
  moe::RouterInput with_logits(const at::Tensor& logits, moe::Mode mode = moe::Mode::train,
                               int64_t n_sequences = 1) const {
    return input(logits, at::eye(logits.size(1), logits.options()), mode, n_sequences);
  }
  moe::RoutingDecision route(const moe::RouterInput& routed) const { return router->route(routed); }

  // A step on each batch of logits.
  void train_on(const std::vector<at::Tensor>& batches) {
    for (const auto& logits : batches) {
      const auto routed = with_logits(logits);
      router->after_step(state, router->balance_statistics(routed, route(routed)));
    }
  }

  RouterForm form;
  moe::RouterShape shape;
  std::unique_ptr<moe::Router> router;
  moe::RouterTraits traits;
  ops::Params state;
};

// Logits [T, E] of experts that are not equally liked.
inline at::Tensor leaning_logits(int64_t n_tokens, int64_t n_experts, uint64_t seed, double std = 1.0) {
  return random_tensor({n_tokens, n_experts}, seed, std) + random_tensor({n_experts}, seed + 1000000, std);
}

// The rows of an input, as a micro-batch of their own.
inline moe::RouterInput rows_of(const moe::RouterInput& input, const at::Tensor& rows, int64_t n_sequences) {
  auto out = input;
  out.hidden = input.hidden.index_select(0, rows);
  out.token_ids = input.token_ids.index_select(0, rows);
  if (input.is_padding.defined()) out.is_padding = input.is_padding.index_select(0, rows);
  out.n_sequences = n_sequences;
  return out;
}

// The experts of one token, best first, with their weights.
using Choice = std::vector<std::pair<int64_t, double>>;
inline std::vector<Choice> choices_of(const moe::RoutingDecision& decision) {
  std::vector<Choice> out(static_cast<size_t>(decision.n_tokens));
  const auto weights = decision.weights.detach().to(at::kDouble).contiguous();
  const auto tokens = decision.token_ids.contiguous(), experts = decision.expert_ids.contiguous();
  for (int64_t n = 0; n < tokens.size(0); ++n)
    out.at(static_cast<size_t>(tokens.const_data_ptr<int64_t>()[n]))
        .emplace_back(experts.const_data_ptr<int64_t>()[n], weights.const_data_ptr<double>()[n]);
  return out;
}
// Weights of equal logits may differ by the order of a vectorised sum.
inline bool is_same(const Choice& left, const Choice& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), [](const auto& a, const auto& b) {
    return a.first == b.first && std::abs(a.second - b.second) <= 1e-12 * std::abs(b.second);
  });
}

inline bool same_state(const ops::Params& left, const ops::Params& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const auto& a, const auto& b) { return a.first == b.first && same_bits(a.second, b.second); });
}
inline ops::Params copy_of(const ops::Params& params) {
  ops::Params out;
  for (const auto& [name, tensor] : params) out.add(name, tensor.clone());
  return out;
}

}  // namespace evenkeel::testing
