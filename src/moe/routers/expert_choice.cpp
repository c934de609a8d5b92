// Expert choice (arXiv 2202.09368 §3.2; flaxformer routing.py `ExpertsChooseMaskedRouter`): the experts choose.
// With p = softmax over E of a token's logits and n tokens in a group, each expert takes its
//   C = factor n / E   tokens of largest p, rounded half to even, at least 1 and at most n;
// equal p go to the lower token, and the weight is p. So no expert gets more than another, a token gets 0 to E
// experts and `factor` on average. The group is the micro-batch or a sequence in training, a sequence at
// evaluation. Padding is never taken and does not count in n. Nothing flows back through the choice.
// Not causal: whether an expert takes a token depends on the tokens after it, in training and evaluation. A
// decoder trained so sees a little of what it shall predict, and its losses are not those of generating.
#include "moe/router.h"

#include <cmath>

#include <ATen/ops/arange.h>
#include <ATen/ops/index.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include "ops/row_order.h"
#include "ops/top_k.h"

namespace evenkeel::moe {
namespace {

// Whose tokens an expert chooses from in training.
enum class Group { micro_batch, sequence };
constexpr Named<Group> kGroups[] = {{"micro_batch", Group::micro_batch}, {"sequence", Group::sequence}};
std::span<const Named<Group>> names_of(Group) { return kGroups; }

struct ExpertChoiceOptions {
  double factor = 0;
  Group group = Group::micro_batch;
  static void visit_fields(auto& options, auto&& field) {
    field("factor", options.factor, {"experts a token gets on average", "experts", "as model.top_k"});
    field("group", options.group, "whose tokens an expert chooses from in training: micro_batch or sequence");
  }
};

class ExpertChoiceRouter : public Router {
 public:
  ExpertChoiceRouter(const RouterShape& shape, ExpertChoiceOptions options)
      : shape_(shape), options_(std::move(options)) {}

  RoutingDecision route(const RouterInput& input) const override {
    RoutingDecision out;
    out.layer = input.layer;
    out.n_tokens = input.hidden.size(0);
    out.n_experts = shape_.n_experts;
    out.top_k = shape_.top_k;
    out.n_sequences = input.n_sequences;
    out.is_padding = input.is_padding;
    out.logits = router_logits(input, traits().max_abs_logit);    // [T, E]
    const auto probs = at::softmax(out.logits, 1);                // [T, E]
    const auto taken = choices(probs.detach(), input).nonzero();  // [N, 2] token, expert; ascending
    const auto experts = taken.select(1, 1);
    out.token_ids = taken.select(1, 0).contiguous();
    const auto best_first = ops::falling_within_rows(out.token_ids, probs.detach().index({out.token_ids, experts}));
    out.expert_ids = experts.index_select(0, best_first);
    out.weights = probs.index({out.token_ids, out.expert_ids});
    return out;
  }

  RouterTraits traits() const override {
    RouterTraits out;
    out.train_scope = options_.group == Group::sequence ? Scope::sequence : Scope::micro_batch;
    out.eval_scope = Scope::sequence;
    out.causal_train = out.causal_eval = out.exactly_k = out.needs_balance = false;
    out.balanced_train = out.balanced_eval = true;
    if (options_.factor != static_cast<double>(shape_.top_k)) out.mean_experts = options_.factor;
    return out;
  }

  Json options() const override {
    Json out = to_json(options_);
    out["kind"] = "expert_choice";
    return out;
  }

 private:
  // [T, E] bool: the expert takes the token.
  at::Tensor choices(const at::Tensor& probs, const RouterInput& input) const {
    const bool by_sequence = input.mode == Mode::eval || options_.group == Group::sequence;
    const int64_t n_groups = by_sequence ? input.n_sequences : 1, n_tokens = probs.size(0);
    if (n_groups == 1 && n_tokens > 0 && !input.is_padding.defined()) return best_of_columns(probs, capacity(n_tokens));
    auto taken = at::zeros(probs.sizes(), probs.options().dtype(at::kBool));
    for (int64_t group = 0; group < n_groups && n_tokens > 0; ++group) {
      const int64_t size = n_tokens / n_groups, first = group * size;
      auto tokens = at::arange(first, first + size, probs.options().dtype(at::kLong));
      if (input.is_padding.defined()) tokens = tokens.index({input.is_padding.narrow(0, first, size).logical_not()});
      const int64_t n = tokens.size(0);
      if (n > 0) taken.index_copy_(0, tokens, best_of_columns(probs.index_select(0, tokens), capacity(n)));
    }
    return taken;
  }

  // values [n, E] -> [n, E] bool: among the C largest of its column; of equal ones the upper.
  static at::Tensor best_of_columns(const at::Tensor& values, int64_t C) {
    const auto least = ops::kth_largest_of_columns(values, C);  // [E]
    const auto best = values.ge(least);
    if (best.sum().item<int64_t>() == C * values.size(1)) return best;
    const auto above = values.gt(least), equal = values.eq(least);
    return above.logical_or(equal.logical_and(equal.cumsum(0).le(C - above.sum(0))));
  }

  int64_t capacity(int64_t n) const {
    const double share = options_.factor * static_cast<double>(n) / static_cast<double>(shape_.n_experts);
    return std::clamp<int64_t>(std::llrint(share), 1, n);
  }

  RouterShape shape_;
  ExpertChoiceOptions options_;
};

std::unique_ptr<Router> make(const RouterShape& shape, ExpertChoiceOptions options, const ConfigNode& config) {
  const ConfigNode* factor = config.find("factor");
  if (factor == nullptr) options.factor = static_cast<double>(shape.top_k);
  require<ConfigError>(options.factor > 0 && options.factor <= static_cast<double>(shape.n_experts),
                       got_at(factor != nullptr ? factor->where : "model.router", "model.router.factor"),
                       options.factor, "; need more than 0 and at most model.n_experts = ", shape.n_experts);
  return std::make_unique<ExpertChoiceRouter>(shape, options);
}

}  // namespace

RouterFactory expert_choice_router() { return factory_of(make); }

}  // namespace evenkeel::moe
