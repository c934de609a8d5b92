#include "moe/routers/token_choice.h"

#include <cmath>
#include <limits>

#include <ATen/ops/amax.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "core/rng.h"
#include "ops/noise.h"
#include "ops/top_k.h"

namespace evenkeel::moe {
namespace {

constexpr Named<ScoreFunction> kScoreFunctions[] = {{"softmax_pre", ScoreFunction::softmax_pre},
                                                    {"softmax_post", ScoreFunction::softmax_post},
                                                    {"sigmoid", ScoreFunction::sigmoid},
                                                    {"sqrtsoftplus", ScoreFunction::sqrtsoftplus}};
constexpr Named<GroupScore> kGroupScores[] = {{"max", GroupScore::max},
                                              {"top2_sum", GroupScore::top2_sum},
                                              {"top_k_over_groups_sum", GroupScore::top_k_over_groups_sum}};
constexpr Named<GroupMask> kGroupMasks[] = {{"minus_infinity", GroupMask::minus_infinity}, {"zero", GroupMask::zero}};
constexpr Named<JitterTarget> kJitterTargets[] = {{"router_input", JitterTarget::router_input},
                                                  {"hidden", JitterTarget::hidden},
                                                  {"logits", JitterTarget::logits},
                                                  {"logits_gaussian", JitterTarget::logits_gaussian}};

}  // namespace

std::span<const Named<ScoreFunction>> names_of(ScoreFunction) { return kScoreFunctions; }
std::span<const Named<GroupScore>> names_of(GroupScore) { return kGroupScores; }
std::span<const Named<GroupMask>> names_of(GroupMask) { return kGroupMasks; }
std::span<const Named<JitterTarget>> names_of(JitterTarget) { return kJitterTargets; }

namespace {

// "recipe.toml:3:1: got model.router.KEY = VALUE; need NEED" unless it holds.
template <class T, class... Parts>
void require_option(bool holds, const ConfigNode& config, const char* key, const T& value, const Parts&... need) {
  const std::string place = got_at(place_of_option(config, key), std::string("model.router.") + key);
  if constexpr (std::is_enum_v<T>) {
    require<ConfigError>(holds, place, "'", name_of(value), "'; need ", need...);
  } else {
    require<ConfigError>(holds, place, value, "; need ", need...);
  }
}

// Below it sqrt(softplus(l)) is exp(l / 2) to rounding in fp64 too; its root would have no finite slope where softplus
// has run into 0.
constexpr double kLowLogit = -40;

// Of scores that look at one logit alone.
at::Tensor score_alone(ScoreFunction score, const at::Tensor& logits) {
  if (score == ScoreFunction::sigmoid) return at::sigmoid(logits);
  if (score == ScoreFunction::sqrtsoftplus)
    return at::where(logits < kLowLogit, at::exp(logits.clamp_max(kLowLogit) / 2),
                     at::sqrt(at::softplus(logits.clamp_min(kLowLogit))));
  return logits;
}

// The same for a selection, without gradient, so that equal logits have equal scores wherever they stand: ATen's
// sigmoid and softplus round a tensor's last elements, which fill no vector, otherwise than the rest; exp, log1p and
// arithmetic do not.
at::Tensor score_to_select_by(ScoreFunction score, const at::Tensor& logits) {
  if (score == ScoreFunction::sigmoid) return logits.neg().exp_().add_(1).reciprocal_();
  if (score == ScoreFunction::sqrtsoftplus) {
    const auto root = logits.abs().neg_().exp_().log1p_().add_(logits.clamp_min(0)).sqrt_();
    return at::where(logits < kLowLogit, logits.clamp_max(kLowLogit).mul_(0.5).exp_(), root);
  }
  return logits;
}

// [T, 1] the p-norm of weights [T, K] that are 0 or more, as m ||w / m|| with m the largest of a token: w^p runs into 0
// where p is large. A norm is homogeneous of degree 1, so its gradient is right with m held.
at::Tensor norm_of(const at::Tensor& weights, double p) {
  if (p == 1) return weights.sum(1, /*keepdim=*/true);
  const auto largest = at::amax(weights.detach(), {1}, /*keepdim=*/true),
             divisor = largest.masked_fill(largest.eq(0), 1);
  return divisor * at::linalg_vector_norm(weights / divisor, p, {1}, /*keepdim=*/true);
}

int64_t experts_in_group_score(const GroupOptions& options, int64_t top_k) {
  if (options.group_score == GroupScore::top2_sum) return 2;
  return options.group_score == GroupScore::max ? 1 : top_k / options.groups_per_token;
}

// One draw an element of [T, width]. In training over all T tokens; at evaluation the same for each sequence, of the
// layer alone, since a batch's seed is not the sequence's.
at::Tensor draws_of(const RouterInput& input, int64_t width, bool is_normal, const at::TensorOptions& options) {
  const int64_t n_tokens = input.hidden.size(0),
                n_sequences = input.mode == Mode::train ? 1 : std::max<int64_t>(1, input.n_sequences);
  const uint64_t seed = combine_bits(input.mode == Mode::train ? input.seed : static_cast<uint64_t>(input.layer),
                                     hash_text("router jitter"));
  const std::vector<int64_t> sizes = {n_tokens / n_sequences, width};
  const auto once = is_normal ? ops::normal_noise(sizes, seed, options) : ops::uniform_noise(sizes, seed, options);
  return n_sequences == 1 ? once : once.unsqueeze(0).expand({n_sequences, sizes[0], width}).reshape({n_tokens, width});
}

// values [T, width] times U(1 - epsilon, 1 + epsilon), in their dtype.
at::Tensor jittered(const RouterInput& input, const at::Tensor& values, double epsilon) {
  const auto wide = values.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto draws = draws_of(input, values.size(1), /*is_normal=*/false, values.options().dtype(wide));
  return values * draws.mul_(2 * epsilon).add_(1 - epsilon).to(values.scalar_type());
}

}  // namespace

std::string place_of_option(const ConfigNode& config, const char* key) {
  const std::string& place = place_of(config, key);
  return place.empty() ? "model.router" : place;
}

void check_options(const ConfigNode& config, const RouterShape& shape, const ScoreOptions& options) {
  const bool is_post = options.score == ScoreFunction::softmax_post;
  require_option(!options.renormalize_one || (shape.top_k == 1 && (options.renormalize || is_post)), config,
                 "renormalize_one", options.renormalize_one,
                 "model.top_k = 1, and renormalize = true or score = softmax_post beside it");
  require<ConfigError>(!is_post || shape.top_k > 1 || shape.n_experts == 1 || options.renormalize_one,
                       got_at(place_of_option(config, "score"), "model.router.score"),
                       "'softmax_post' with model.top_k = 1; need softmax_pre or sigmoid, since a softmax "
                       "over one logit is the constant 1 and gives the router no gradient");
  require_option(options.norm_p >= 1 && options.norm_p <= 1000, config, "norm_p", options.norm_p, "1..1000");
  require_option(
      options.norm_p == 1 || (options.renormalize && !is_post && shape.top_k > 1), config, "norm_p", options.norm_p,
      "renormalize = true and a score other than softmax_post beside it, and model.top_k above 1 (nothing is divided "
      "at 1)");
  require_option(options.scaling > 0 && options.scaling <= 1e6, config, "scaling", options.scaling,
                 "more than 0, at most 1e6");
}

void check_options(const ConfigNode& config, const RouterShape& shape, const GroupOptions& options,
                   const GroupOptions& defaults) {
  require_option(options.n_groups >= 1 && shape.n_experts % options.n_groups == 0, config, "n_groups", options.n_groups,
                 "a divisor of model.n_experts = ", shape.n_experts);
  require_option(options.groups_per_token >= 1 && options.groups_per_token <= options.n_groups, config,
                 "groups_per_token", options.groups_per_token, "1..", options.n_groups, " (model.router.n_groups)");
  if (options.n_groups == 1) {
    require_option(options.group_score == defaults.group_score, config, "group_score", options.group_score,
                   "n_groups above 1 beside it");
    require_option(options.group_mask == defaults.group_mask, config, "group_mask", options.group_mask,
                   "n_groups above 1 beside it");
    return;
  }
  require_option(options.groups_per_token < options.n_groups, config, "groups_per_token", options.groups_per_token,
                 "fewer than model.router.n_groups = ", options.n_groups, ", since all of them are no limit");
  const int64_t size = shape.n_experts / options.n_groups;
  require_option(options.groups_per_token * size >= shape.top_k, config, "groups_per_token", options.groups_per_token,
                 "groups with model.top_k = ", shape.top_k, " experts in all; they have ", size, " each");
  require_option(
      options.group_score != GroupScore::top_k_over_groups_sum || shape.top_k % options.groups_per_token == 0, config,
      "group_score", options.group_score, "a groups_per_token that divides model.top_k = ", shape.top_k);
  require_option(experts_in_group_score(options, shape.top_k) <= size, config, "group_score", options.group_score,
                 experts_in_group_score(options, shape.top_k), " experts or more in a group; they have ", size);
}

void check_options(const ConfigNode& config, const RouterShape& shape, JitterOptions& options) {
  const bool is_normal = options.jitter_target == JitterTarget::logits_gaussian;
  if (is_normal && config.find("jitter") == nullptr)
    options.jitter = 1.0 / static_cast<double>(shape.n_experts * shape.n_experts);
  const bool in_range = options.jitter >= 0 && options.jitter <= (is_normal ? 1e6 : 1.0);  // false for NaN
  require_option(in_range, config, "jitter", options.jitter, is_normal ? "a standard deviation" : "0..1");
  const bool is_used = options.jitter > 0;
  require_option(is_used || options.jitter_target == JitterTarget::router_input, config, "jitter_target",
                 options.jitter_target, "a jitter above 0 beside it");
  require<ConfigError>(is_used || !options.jitter_at_eval,
                       got_at(place_of_option(config, "jitter_at_eval"), "model.router.jitter_at_eval"),
                       "true; need a jitter above 0 beside it");
}

NoisyLogits noisy_logits(const JitterOptions& options, const RouterInput& input, double max_abs_logit) {
  NoisyLogits out;
  const bool is_still = options.jitter == 0 || (input.mode == Mode::eval && !options.jitter_at_eval);
  const bool is_on_logits =
      options.jitter_target == JitterTarget::logits || options.jitter_target == JitterTarget::logits_gaussian;
  if (is_still || is_on_logits) out.logits = router_logits(input, max_abs_logit);
  if (is_still) return out;
  if (options.jitter_target == JitterTarget::logits) {
    out.logits = jittered(input, out.logits, options.jitter);
  } else if (options.jitter_target == JitterTarget::logits_gaussian) {
    out.logits =
        out.logits + draws_of(input, out.logits.size(1), /*is_normal=*/true, out.logits.options()).mul(options.jitter);
  } else {
    RouterInput noisy = input;
    noisy.hidden = jittered(input, input.hidden, options.jitter);
    out.logits = router_logits(noisy, max_abs_logit);
    if (options.jitter_target == JitterTarget::hidden) out.expert_input = noisy.hidden;
  }
  return out;
}

void widen_scopes(const JitterOptions& options, RouterTraits& traits) {
  if (options.jitter == 0) return;
  if (traits.train_scope == Scope::token) traits.train_scope = Scope::micro_batch;
  if (options.jitter_at_eval && traits.eval_scope == Scope::token) traits.eval_scope = Scope::sequence;
}

Score score_of(const ScoreOptions& options) {
  if (options.score == ScoreFunction::sigmoid) return Score::sigmoid;
  return options.score == ScoreFunction::sqrtsoftplus ? Score::sqrtsoftplus : Score::softmax;
}

at::Tensor gathered_from(const ScoreOptions& options, const at::Tensor& logits) {
  return options.score == ScoreFunction::softmax_pre ? at::softmax(logits, 1) : logits;
}

at::Tensor selected_weights(const ScoreOptions& options, const at::Tensor& source, const at::Tensor& expert_ids) {
  auto weights = source.gather(1, expert_ids);  // [T, K]
  const bool is_post = options.score == ScoreFunction::softmax_post;
  // Over one value a softmax is 1 and its gradient 0, both to the bit.
  weights = is_post || options.renormalize_one ? at::softmax(weights, 1) : score_alone(options.score, weights);
  if (options.renormalize && !is_post && expert_ids.size(1) > 1) {
    constexpr double kTiny = 1e-20;  // Megatron's and DeepSeek's guard
    weights = weights / (norm_of(weights, options.norm_p) + kTiny);
  }
  return options.scaling == 1 ? weights : weights * options.scaling;
}

at::Tensor limit_to_groups(const GroupOptions& options, const at::Tensor& scores, int64_t top_k) {
  const int64_t n_tokens = scores.size(0), n_groups = options.n_groups, size = scores.size(1) / n_groups;
  const auto grouped = scores.reshape({n_tokens, n_groups, size});
  at::Tensor group_scores;  // [T, G]
  if (options.group_score == GroupScore::max) {
    group_scores = at::amax(grouped, {2});
  } else {
    const auto by_group = grouped.view({n_tokens * n_groups, size});
    const auto best = ops::top_k_ids(by_group, experts_in_group_score(options, top_k));
    group_scores = by_group.gather(1, best).sum(1).view({n_tokens, n_groups});
  }
  const auto kept = ops::top_k_ids(group_scores, options.groups_per_token);
  const auto is_outside =
      at::zeros({n_tokens, n_groups}, scores.options().dtype(at::kBool)).fill_(true).scatter_(1, kept, false);
  const double fill = options.group_mask == GroupMask::zero ? 0.0 : -std::numeric_limits<double>::infinity();
  return grouped.masked_fill(is_outside.unsqueeze(2), fill).view({n_tokens, n_groups * size});
}

RoutingDecision choose_by_score(const RouterShape& shape, const TokenChoiceOptions& options, const RouterInput& input,
                                const at::Tensor& expert_bias) {
  const auto noisy = noisy_logits(options.jitter, input, RouterTraits().max_abs_logit);
  const auto source = gathered_from(options.score, noisy.logits);  // [T, E]
  at::Tensor expert_ids;                                           // [T, K]
  if (options.groups.n_groups > 1) {
    auto scores = score_to_select_by(options.score.score, source.detach());
    if (expert_bias.defined()) scores = scores + expert_bias;
    expert_ids = ops::top_k_ids(limit_to_groups(options.groups, scores, shape.top_k), shape.top_k);
  } else if (expert_bias.defined()) {
    expert_ids = ops::top_k_ids(score_to_select_by(options.score.score, source.detach()), shape.top_k, expert_bias);
  } else {
    expert_ids = ops::top_k_ids(noisy.logits, shape.top_k);
  }
  auto decision = token_choice(input, noisy.logits, expert_ids, selected_weights(options.score, source, expert_ids));
  decision.score = score_of(options.score);
  decision.expert_input = noisy.expert_input;
  return decision;
}

}  // namespace evenkeel::moe
