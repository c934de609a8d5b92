#include "checkpoint/upcycle_plan.h"

#include <algorithm>
#include <cmath>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>

#include "core/errors.h"
#include "model/layout.h"
#include "moe/router.h"
#include "ops/noise.h"

namespace evenkeel::checkpoint {
namespace {

template <class T>
void need(bool holds, const char* option, const T& value, const std::string& needed) {
  require<ConfigError>(holds, option, ": got ", value, "; need ", needed);
}

std::string divisor_of(const char* what, int64_t value) {
  return "a divisor of " + std::to_string(value) + ", " + what;
}

// ---- keys of [model] ----

// The table [model] of --set. `known`: the keys that may stand in it.
ConfigNode set_keys(const std::vector<std::string>& set, const std::vector<std::string>& known) {
  ConfigNode root = config_table("--set");
  for (const auto& assignment : set) apply_override(root, assignment);
  for (const auto& [key, node] : root.table())
    if (key != "model") fail_unknown_key(node.where, "", key, {"model"});
  const ConfigNode* model = root.find("model");
  if (model == nullptr) return config_table("--set");
  if (!model->is_table()) fail_kind(*model, "model", "a table");
  for (const auto& [key, node] : model->table())
    if (std::find(known.begin(), known.end(), key) == known.end()) fail_unknown_key(node.where, "model", key, known);
  return *model;
}

// A copy is the network only where the weights of a token sum to 1, so they are divided by their sum unless --set says
// otherwise.
void renormalize_by_default(model::ModelConfig& config) {
  const Json options = moe::make_router(config.router_shape(), config.router)->options();
  const Json *value = options.find("renormalize"), *score = options.find("score");
  const bool is_said = config.router.find("renormalize") != nullptr;
  if (value == nullptr || is_said || (score != nullptr && *score == Json("softmax_post"))) return;
  if (!config.router.is_table()) config.router = config_table("upcycle");
  ConfigNode yes;
  yes.value = true;
  yes.where = "upcycle";
  config.router.set("renormalize", std::move(yes));
}

// ---- the weights of a token ----

constexpr double kRounding = 1e-5;  // of sums of fp32 weights

struct WeightSums {
  double at_equal_logits = 1;
  bool is_fixed = true;
};

at::Tensor sums_of(const moe::Router& router, const model::ModelConfig& config, const at::Tensor& hidden,
                   const at::Tensor& matrix) {
  const auto state = router.initial_state({});
  moe::RouterInput input;
  input.hidden = hidden;
  if (router.traits().has_matrix) input.weight = matrix;
  input.token_ids = at::arange(hidden.size(0), at::kLong).remainder(config.vocab_size);
  input.mode = moe::Mode::eval;
  input.state = &state;
  const auto decision = router.route(input);
  return at::zeros({hidden.size(0)}, at::kDouble).index_add(0, decision.token_ids, decision.weights.to(at::kDouble));
}

WeightSums weight_sums(const model::ModelConfig& config, const moe::Router& router) {
  if (config.capacity.renormalize != moe::Renormalize::none && config.top_k > 1) return {};
  const at::NoGradGuard no_grad;
  constexpr int64_t kWidth = 8;
  const int64_t n_tokens = std::clamp<int64_t>(2 * config.n_experts, 64, 1024);
  const auto floats = at::TensorOptions(at::kFloat);
  const auto matrix = ops::normal_noise({config.n_experts, kWidth}, 1, floats);
  const auto equal = sums_of(router, config, at::zeros({n_tokens, kWidth}, floats), matrix);
  const auto other = sums_of(router, config, ops::normal_noise({n_tokens, kWidth}, 2, floats), matrix);
  const double mean = equal.mean().item<double>();
  return {mean, (other - mean).abs().max().item<double>() <= kRounding * mean};
}

// The published scales are whole numbers over K: where fp32 sums lie as near to one as they can, that one is meant.
double exact_scale(double scale, int64_t top_k) {
  const auto k = static_cast<double>(top_k);
  const double near = std::round(scale * k) / k;
  return std::abs(near - scale) <= kRounding * scale ? near : scale;
}

// ---- a dense parent ----

void check_dense_options(const ModelSource& parent, const UpcycleOptions& o) {
  const int64_t width = parent.config.d_ff;
  need(o.granularity >= 1 && width % o.granularity == 0, "--granularity", o.granularity,
       divisor_of("the model's d_ff", width));
  need(o.n_experts % o.granularity == 0, "--experts", o.n_experts,
       "a multiple of --granularity = " + std::to_string(o.granularity) + ": so many experts make up one network");
  need(o.top_k >= 1, "--top-k", o.top_k,
       "1.." + std::to_string(o.n_experts) + " (--experts), since " + parent.folder.string() + " is dense");
  need(o.top_k % o.granularity == 0, "--top-k", o.top_k,
       "a multiple of --granularity = " + std::to_string(o.granularity) +
           ": a token goes to whole groups of experts, which have one logit");
  need(o.n_shared_experts == 0 || !parent.config.ffn_bias, "--shared", o.n_shared_experts,
       "0: the feed-forward networks of " + parent.folder.string() + " have biases, which shared experts have not");
}

model::ModelConfig dense_grown(const ModelSource& parent, const UpcycleOptions& o) {
  const ConfigNode changes = set_keys(o.set, {"router", "balance", "capacity", "moe_layers"});
  model::ModelTable table{.preset = "", .from = {}, .rope = {}, .model = parent.config};
  model::ModelConfig& out = table.model;
  out.n_experts = o.n_experts;
  out.top_k = o.top_k;
  out.d_expert = out.d_ff / o.granularity;
  out.n_shared_experts = o.n_shared_experts;
  out.d_shared = out.n_shared_experts * out.d_expert;
  out.moe_layers = {};
  read_value(changes, "model", table);
  out.expert_bias = parent.config.ffn_bias;
  out.ffn_bias = parent.config.ffn_bias && out.has_dense();
  model::check_model_config(out, "--set", &changes);
  renormalize_by_default(out);
  model::check_model_config(out, "--set", &changes);
  return out;
}

// How to make the weights of a token's experts sum to one number: by what this router has.
std::string advice_for_sums(const Json& router, int64_t top_k) {
  const Json *renormalize = router.find("renormalize"), *norm = router.find("norm_p");
  std::string key = "model.router.renormalize = true";
  if (renormalize == nullptr) key = "model.router.kind = \"top_k\"";
  if (renormalize != nullptr && *renormalize == Json(true) && norm != nullptr && norm->as_double() != 1)
    key = "model.router.norm_p = 1";
  return (top_k > 1 ? key : "--top-k 2 or more with " + key) + " keeps the function";
}

// Where the function cannot be the parent's, in the words of what changes it.
void explain(const UpcycleOptions& o, const moe::Router& router, UpcyclePlan& plan) {
  const auto traits = router.traits();
  const Json options = router.options();
  const std::string g = std::to_string(o.granularity);
  const auto because = [&](const std::string& difference, const std::string& advice) {
    plan.difference = difference;
    plan.advice = advice;
  };
  if (o.method == UpcycleMethod::noise)
    return because("a share of each expert's features got noise", "--method copy keeps the function");
  if (o.method == UpcycleMethod::drop)
    return because("a share of each expert's features was drawn anew",
                   "that is what Drop-Upcycling trades for experts that become different; --method copy keeps it");
  if (!plan.config.capacity.is_dropless())
    return because("tokens beyond an expert's capacity are dropped",
                   "a model without [model.capacity] keeps the function; the recipe may set one");
  const bool picks_groups = traits.has_matrix && traits.exactly_k && traits.eval_scope == moe::Scope::token;
  if (o.granularity > 1 && !picks_groups)
    return because("this router does not choose whole groups of " + g + " experts",
                   "model.router.kind = \"top_k\" does, without jitter at evaluation");
  if (!plan.has_fixed_sum)
    return because(
        "the weights of a token's experts sum to another number for each token; the matrices are scaled so "
        "that it fits on average while the logits are nearly equal",
        advice_for_sums(options, plan.config.top_k));
  if (std::abs(plan.scale - 1) <= 1e-9) return;
  const Json* scaling = options.find("scaling");
  because("the matrices are scaled, and a gate is not linear",
          scaling == nullptr
              ? ""
              : "--set model.router.scaling=" + format_double(plan.scale * scaling->as_double()) +
                    " scales the weights of the experts in place of the matrices, and keeps the function");
}

UpcyclePlan plan_dense(const ModelSource& parent, const UpcycleOptions& o) {
  check_dense_options(parent, o);
  UpcyclePlan plan;
  plan.config = dense_grown(parent, o);
  const auto router = moe::make_router(plan.config.router_shape(), plan.config.router);
  require<ConfigError>(!router->traits().needs_token_counts,
                       "--set model.router: got a router whose state is made of "
                       "the training data; need another here: a recipe with [model] from may name that one");
  const auto sums = weight_sums(plan.config, *router);
  plan.has_fixed_sum = sums.is_fixed;
  plan.scale = exact_scale(upcycle_scale(o.granularity, sums.at_equal_logits), o.top_k);
  plan.weights_sum = static_cast<double>(o.granularity) / plan.scale;
  const int64_t n_blocks = plan.config.gated_form().gate_up_width(1);
  plan.multiplier = upcycle_multiplier(plan.scale, n_blocks);
  explain(o, *router, plan);
  return plan;
}

// ---- a parent with experts ----

void check_of_experts(const ModelSource& parent, const UpcycleOptions& o) {
  const int64_t n_experts = parent.config.n_experts;
  const std::string of_dense =
      ": " + parent.folder.string() + " has experts already, to which --experts adds; that is for dense models";
  need(o.n_experts > n_experts, "--experts", o.n_experts,
       "more than the " + std::to_string(n_experts) + " experts that " + parent.folder.string() +
           " has: they stay, and new ones are added (to train it as it is: 'evenkeel train' with [model] from)");
  need(o.granularity == 1, "--granularity", o.granularity, "1" + of_dense);
  need(o.n_shared_experts == 0, "--shared", o.n_shared_experts, "0" + of_dense);
  need(o.router_init == RouterInit::normal, "--router-init", name_of(o.router_init), "none" + of_dense);
  require<ConfigError>(o.set.empty(), "--set: got '", o.set.empty() ? "" : o.set[0],
                       "' for a model with experts; need it in the recipe, where [model.router] may stand beside from");
  const auto router = moe::make_router(parent.config.router_shape(), parent.config.router);
  const auto traits = router->traits();
  const bool has_table = !traits.has_matrix && traits.state_option != nullptr;
  require<ConfigError>(!has_table, parent.folder.string(), ": got the router '",
                       router->options().at("kind").as_string(),
                       "', whose table sends no token to new experts; need one that learns");
}

UpcyclePlan plan_more_experts(const ModelSource& parent, const UpcycleOptions& o) {
  check_of_experts(parent, o);
  UpcyclePlan plan;
  plan.adds_experts = true;
  plan.config = parent.config;
  plan.config.n_experts = o.n_experts;
  if (o.top_k > 0) plan.config.top_k = o.top_k;
  model::check_model_config(plan.config, parent.folder.string());
  plan.difference =
      "a token may go to a new expert in place of one that it went to, and a softmax over all experts "
      "has more terms";
  if (o.n_experts % parent.config.n_experts == 0 && plan.config.top_k == parent.config.top_k)
    plan.advice = "--top-k " + std::to_string(parent.config.top_k * (o.n_experts / parent.config.n_experts)) +
                  " with --method copy lets each token take the copies too, at so many times the FLOPs of its experts";
  return plan;
}

}  // namespace

UpcyclePlan plan_upcycling(const ModelSource& parent, const UpcycleOptions& o) {
  need(o.n_experts >= 1 && o.n_experts <= 65536, "--experts", o.n_experts, "1..65536");
  need(o.top_k >= 0 && o.top_k <= o.n_experts, "--top-k", o.top_k,
       "1.." + std::to_string(o.n_experts) + " (--experts)");
  need(o.ratio >= 0 && o.ratio <= 1, "--ratio", o.ratio, "0..1");
  need(o.router_noise >= 0 && o.router_noise <= 1e3, "--router-noise", o.router_noise, "0 or more, at most 1000");
  need(o.n_shared_experts >= 0 && o.n_shared_experts <= 65536, "--shared", o.n_shared_experts, "0..65536");
  return parent.config.is_moe() ? plan_more_experts(parent, o) : plan_dense(parent, o);
}

}  // namespace evenkeel::checkpoint
