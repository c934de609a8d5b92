// Auxiliary-loss-free balancing (docs/routers.md; arXiv 2408.15664; DeepSeek-V3, arXiv 2412.19437 §2.1.2). The
// experts of a token are the k largest of score + b_e, within groups where asked; its weights come from the scores
// alone. After each step, with n_e the assignments to e of the whole step, padding not counted,
//   sign          b_e += rate * sign(mean(n) - n_e), sign(0) = 0 (Megatron's get_updated_expert_bias; not centred)
//   proportional  b_e += rate * (mean(n) - n_e) / mean(n) (2408.15664 §4.3 with the loads as shares of their mean)
// until rate_until tokens or steps have passed, from then on not at all (V3: 14.3T tokens).
// The loads of a step decide on later steps only: no decision looks at another token.
#include <ATen/ops/bincount.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include "moe/routers/token_choice.h"

namespace evenkeel::moe {
namespace {

// How far the bias moves.
enum class Update { sign, proportional };
constexpr Named<Update> kUpdates[] = {{"sign", Update::sign}, {"proportional", Update::proportional}};
std::span<const Named<Update>> names_of(Update) { return kUpdates; }

// Which assignments count as load.
enum class LoadCounts { before_drops, after_drops };
constexpr Named<LoadCounts> kLoadCounts[] = {{"before_drops", LoadCounts::before_drops},
                                             {"after_drops", LoadCounts::after_drops}};
std::span<const Named<LoadCounts>> names_of(LoadCounts) { return kLoadCounts; }

struct LossFreeOptions {
  TokenChoiceOptions choice;
  double rate = 1e-3;
  Update update = Update::sign;
  LoadCounts counts = LoadCounts::before_drops;
  Duration rate_until{0, Unit::tokens};
  LossFreeOptions() {
    choice.score.score = ScoreFunction::sigmoid;
    choice.groups = group_defaults();
  }
  static GroupOptions group_defaults() {
    GroupOptions out;
    out.group_score = GroupScore::top2_sum;
    return out;
  }
  static void visit_fields(auto& options, auto&& field) {
    TokenChoiceOptions::visit_fields(options.choice, field);
    field("rate", options.rate, {"step of the bias", "units of the score"});
    field("update", options.update, "sign or proportional");
    field("counts", options.counts, "before_drops or after_drops: which assignments count as load");
    field("rate_until", options.rate_until, {"after which the bias stands still; 0 = never", "tokens or steps"});
  }
};

class LossFreeRouter : public Router {
 public:
  LossFreeRouter(const RouterShape& shape, LossFreeOptions options) : shape_(shape), options_(std::move(options)) {}

  RoutingDecision route(const RouterInput& input) const override {
    return choose_by_score(shape_, options_.choice, input, input.state->at("bias"));
  }

  RouterTraits traits() const override {
    RouterTraits out;
    out.needs_balance = options_.rate == 0;  // the bias stays where it is
    out.state_option = "score";              // the bias is in its units
    widen_scopes(options_.choice.jitter, out);
    return out;
  }

  Json options() const override {
    Json out = to_json(options_);
    out["kind"] = "loss_free";
    return out;
  }

  // bias [E] fp32; tokens and steps [1] i64 that it has been made from.
  ops::Params initial_state(const StateInput&) const override {
    ops::Params state;
    state.add("bias", at::zeros({shape_.n_experts}, at::kFloat));
    state.add("tokens", at::zeros({1}, at::kLong));
    state.add("steps", at::zeros({1}, at::kLong));
    return state;
  }

  // [E + 1] fp64: assignments of each expert, then tokens.
  at::Tensor balance_statistics(const RouterInput& input, const RoutingDecision& decision) const override {
    if (input.mode == Mode::eval) return {};
    auto counted = at::full(decision.expert_ids.sizes(), 1.0, decision.expert_ids.options().dtype(at::kDouble));
    auto n_tokens = at::full({1}, static_cast<double>(decision.n_tokens), counted.options());
    if (decision.is_padding.defined()) {
      counted = counted * decision.is_padding.logical_not().index_select(0, decision.token_ids);
      n_tokens = n_tokens - decision.is_padding.sum();
    }
    if (options_.counts == LoadCounts::after_drops && decision.dropped.defined())
      counted = counted * decision.dropped.logical_not();
    return at::cat({at::bincount(decision.expert_ids, counted, shape_.n_experts), n_tokens});
  }

  void after_step(ops::Params& state, const at::Tensor& statistics) const override {
    if (!statistics.defined()) return;
    const auto loads = statistics.narrow(0, 0, shape_.n_experts), mean = loads.mean();
    const auto violation = mean - loads;
    const auto step = options_.update == Update::sign ? violation.sign()
                                                      : violation / mean.clamp_min(1e-300);  // no load: 0 / tiny = 0
    auto rate = at::full({1}, options_.rate, loads.options());
    const auto& until = options_.rate_until;
    if (until.value > 0) rate = rate * state.at(until.unit == Unit::steps ? "steps" : "tokens").lt(until.value);
    ops::Params next;
    next.add("bias", state.at("bias") + (step * rate).to(at::kFloat));
    next.add("tokens", state.at("tokens") + statistics.narrow(0, shape_.n_experts, 1).to(at::kLong));
    next.add("steps", state.at("steps") + 1);
    state = std::move(next);
  }

 private:
  RouterShape shape_;
  LossFreeOptions options_;
};

std::unique_ptr<Router> make(const RouterShape& shape, LossFreeOptions options, const ConfigNode& config) {
  check_options(config, shape, options.choice.score);
  check_options(config, shape, options.choice.groups, LossFreeOptions::group_defaults());
  check_options(config, shape, options.choice.jitter);
  require<ConfigError>(options.rate >= 0 && options.rate <= 1e6,
                       got_at(place_of_option(config, "rate"), "model.router.rate"), options.rate, "; need 0..1e6");
  require<ConfigError>(options.rate_until.unit == Unit::tokens || options.rate_until.unit == Unit::steps,
                       got_at(place_of_option(config, "rate_until"), "model.router.rate_until"), "'",
                       to_string(options.rate_until), "'; need tokens or steps");
  const auto need_rate = [&](bool is_default, const char* key, const std::string& value) {
    require<ConfigError>(is_default || options.rate > 0, place_of_option(config, key), ": got model.router.", key,
                         " = '", value, "'; need a rate above 0 beside it, since at 0 the bias stands still");
  };
  need_rate(options.update == Update::sign, "update", name_of(options.update));
  need_rate(options.counts == LoadCounts::before_drops, "counts", name_of(options.counts));
  need_rate(options.rate_until.value == 0, "rate_until", to_string(options.rate_until));
  return std::make_unique<LossFreeRouter>(shape, options);
}

}  // namespace

RouterFactory loss_free_router() { return factory_of(make); }

}  // namespace evenkeel::moe
