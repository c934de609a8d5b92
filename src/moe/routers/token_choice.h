// What token-choice routers share: the score of an expert, the weights of the selected, selection within groups
// of experts, jitter. Each part is a struct of options that a router lists among its own. Sources: docs/routers.md.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "core/config_tree.h"
#include "moe/router.h"

namespace evenkeel::moe {

// From a logit to a weight: a softmax over all experts or over the selected, or a score of each logit alone.
enum class ScoreFunction { softmax_pre, softmax_post, sigmoid, sqrtsoftplus };
std::span<const Named<ScoreFunction>> names_of(ScoreFunction);

// From logits to weights.
struct ScoreOptions {
  ScoreFunction score = ScoreFunction::softmax_pre;
  bool renormalize = false;
  bool renormalize_one = false;
  double norm_p = 1.0;
  double scaling = 1.0;
  static void visit_fields(auto& options, auto&& field) {
    field("score", options.score, "softmax_pre, softmax_post, sigmoid or sqrtsoftplus");
    field("renormalize", options.renormalize, "divide the weights of the selected by their norm; no effect at k = 1");
    field(
        "renormalize_one", options.renormalize_one,
        "at k = 1 too, so that every weight is 1 and the router learns nothing by it, as some released models have it");
    field("norm_p", options.norm_p, "which norm: 1 = their sum");
    field("scaling", options.scaling, "factor of every weight (routed_scaling_factor)");
  }
};

// What a group of experts is judged by: its largest score, the sum of its two largest, or of its top_k /
// groups_per_token largest.
enum class GroupScore { max, top2_sum, top_k_over_groups_sum };
std::span<const Named<GroupScore>> names_of(GroupScore);

// The score of experts outside of a token's groups.
enum class GroupMask { minus_infinity, zero };
std::span<const Named<GroupMask>> names_of(GroupMask);

// Selection within the best groups of experts.
struct GroupOptions {
  int64_t n_groups = 1;
  int64_t groups_per_token = 1;
  GroupScore group_score = GroupScore::max;
  GroupMask group_mask = GroupMask::minus_infinity;
  static void visit_fields(auto& options, auto&& field) {
    field("n_groups", options.n_groups, {"groups of consecutive experts; 1 = none", "groups"});
    field("groups_per_token", options.groups_per_token, {"groups that a token may choose from", "groups"});
    field("group_score", options.group_score, "max, top2_sum or top_k_over_groups_sum");
    field("group_mask", options.group_mask, "score of experts outside: minus_infinity, or zero as in transformers");
  }
};

// What the noise acts on; with hidden the experts see it too.
enum class JitterTarget { router_input, hidden, logits, logits_gaussian };
std::span<const Named<JitterTarget>> names_of(JitterTarget);

// Noise.
struct JitterOptions {
  double jitter = 0.0;
  JitterTarget jitter_target = JitterTarget::router_input;
  bool jitter_at_eval = false;
  static void visit_fields(auto& options, auto&& field) {
    field("jitter", options.jitter,
          "multiply by U(1 - jitter, 1 + jitter); with logits_gaussian: standard deviation, 1 / E^2 where it is not "
          "given");
    field("jitter_target", options.jitter_target,
          "router_input, hidden (the experts see it too), logits or logits_gaussian");
    field("jitter_at_eval", options.jitter_at_eval, "also at evaluation, the same in every sequence");
  }
};

struct TokenChoiceOptions {
  ScoreOptions score;
  GroupOptions groups;
  JitterOptions jitter;
  static void visit_fields(auto& options, auto&& field) {
    ScoreOptions::visit_fields(options.score, field);
    GroupOptions::visit_fields(options.groups, field);
    JitterOptions::visit_fields(options.jitter, field);
  }
};

// ---- checks: ConfigError with the place of the key in `config`, the [model.router] table ----
void check_options(const ConfigNode& config, const RouterShape& shape, const ScoreOptions& options);
void check_options(const ConfigNode& config, const RouterShape& shape, const GroupOptions& options,
                   const GroupOptions& defaults = {});
void check_options(const ConfigNode& config, const RouterShape& shape,
                   JitterOptions& options);  // fills in the default of logits_gaussian
// "recipe.toml:3:1" of a key, or of the table when the key is not given; "model.router" where neither stands anywhere.
std::string place_of_option(const ConfigNode& config, const char* key);

// ---- parts of a decision; T tokens, E experts, K a token ----
struct NoisyLogits {
  at::Tensor logits;        // [T, E], differentiable
  at::Tensor expert_input;  // [T, H] where the noise is on what the experts see; else undefined
};
// router_logits with the noise of the options, drawn from input.seed: the same seed gives the same bits. At
// evaluation each sequence gets the draws of its layer, so that results do not depend on the batch.
NoisyLogits noisy_logits(const JitterOptions& options, const RouterInput& input, double max_abs_logit);
// Jitter makes a decision depend on the token's place.
void widen_scopes(const JitterOptions& options, RouterTraits& traits);

Score score_of(const ScoreOptions& options);
// What weights are gathered from: probabilities [T, E] for softmax_pre; the other scores act on what was gathered.
at::Tensor gathered_from(const ScoreOptions& options, const at::Tensor& logits);
// [T, K], differentiable: score, norm and factor of the selected. `source` is gathered_from's.
at::Tensor selected_weights(const ScoreOptions& options, const at::Tensor& source, const at::Tensor& expert_ids);
// scores [T, E] without gradient -> the same with experts outside the token's best groups masked; equal groups go to
// the lower.
at::Tensor limit_to_groups(const GroupOptions& options, const at::Tensor& scores, int64_t top_k);

// The k largest of score + expert_bias ([E] or undefined), within groups; weights without the bias. Without bias
// and groups the logits decide, since every score rises with its logit.
RoutingDecision choose_by_score(const RouterShape& shape, const TokenChoiceOptions& options, const RouterInput& input,
                                const at::Tensor& expert_bias);

}  // namespace evenkeel::moe
