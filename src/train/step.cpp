#include "train/step.h"

#include <chrono>
#include <cmath>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/stack.h>

#include "core/rng.h"
#include "moe/balance_loss.h"
#include "ops/cross_entropy.h"
#include "ops/device.h"
#include "optim/gradient_norm.h"

namespace evenkeel::train {
namespace {

// Waits for the device at each lap, so that the time of a part of the step is that of its own work.
class Stopwatch {
 public:
  explicit Stopwatch(at::Device device) : device_(device) {}
  double lap() {
    ops::synchronize(device_);
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  at::Device device_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

model::ModelInput training_input(const data::Batch& batch, const InStep& in_step) {
  auto input = model::input_of(batch);
  input.step = in_step.step;
  input.seed = combine_bits(combine_bits(in_step.seed, static_cast<uint64_t>(in_step.step)),
                            static_cast<uint64_t>(in_step.micro_batch));
  input.step_plans = in_step.router_plans;
  return input;
}

// A phase that freezes a router's matrix freezes its balancing state too. (Megatron moves the state of every module
// that is in training.)
bool router_is_frozen(const model::Transformer& model, const optim::RateFactors& factors, size_t moe_layer) {
  const auto matrix = model.router_matrix(moe_layer);
  return matrix && factors.is_frozen(*matrix);
}

// The plan of each MoE layer for the whole step, where the router asks for one and there is more than one micro-batch.
std::vector<at::Tensor> router_plans(const model::Transformer& model, const TrainState& state,
                                     std::span<const data::Batch> micro_batches) {
  if (model.router() == nullptr || model.router()->traits().train_scope != moe::Scope::step ||
      micro_batches.size() == 1)
    return {};
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> plans;
  const auto input = training_input(data::joined(micro_batches), next_step(state));
  for (const auto& decision : model.forward(state.params, state.router_states, input).routing)
    plans.push_back(decision.plan);
  return plans;
}

const LossTerm kCrossEntropy = {"cross_entropy", 0, 1.0};
LossTerm logit_z_term(double coefficient) { return {"logit_z", 0, coefficient}; }
bool has_router_z(const moe::Router* router) { return router != nullptr && router->traits().has_matrix; }

// What the micro-batches of a step add up to. It stays on the device until `read`.
class StepSums {
 public:
  explicit StepSums(const at::Tensor& n_targets) : n_targets_(n_targets) {}
  // A sum over targets as its part of the mean over those of the step.
  at::Tensor mean_of(const at::Tensor& sum) const { return sum / n_targets_.to(sum.scalar_type()); }

  // Sums over targets, divided by those of the step, and, times `share`, the auxiliary losses are this micro-batch's
  // part of the means over the step.
  void add(const MicroLosses& losses, double share, double logit_z_coefficient) {
    add_term(0, kCrossEntropy, mean_of(losses.cross_entropy_sum).to(at::kDouble));
    for (size_t i = 0; i < losses.auxiliary.size(); ++i)
      add_term(i + 1, losses.auxiliary[i].first, losses.auxiliary[i].second.detach().to(at::kDouble) * share);
    if (losses.logit_z_sum.defined())
      add_term(losses.auxiliary.size() + 1, logit_z_term(logit_z_coefficient),
               mean_of(losses.logit_z_sum).to(at::kDouble));
    statistics_.resize(losses.routing.size());
    scores_.resize(losses.routing.size());
    for (size_t i = 0; i < losses.routing.size(); ++i) {
      auto tally = analysis::tally_routing(losses.routing[i]);
      if (i == tallies_.size()) {
        tallies_.push_back(std::move(tally));
      } else {
        add_to(tallies_[i].counts, tally.counts);
      }
      if (losses.routing[i].balance_statistics.defined()) add_to(statistics_[i], losses.routing[i].balance_statistics);
      if (const auto score = token_score(losses.routing[i]); score.defined()) add_to(scores_[i], score * share);
    }
  }

  // Puts loss, terms and routing into the report, and returns the number of targets. The one read of the step's
  // figures; counts are exact in fp64.
  int64_t read(StepReport& report) const {
    std::vector<at::Tensor> all = {n_targets_.to(at::kDouble).view({1})};
    for (const auto& value : values_) all.push_back(value.view({1}));
    for (const auto& tally : tallies_) all.push_back(tally.counts.to(at::kDouble));
    for (const auto& score : scores_)
      if (score.defined()) all.push_back(score.view({1}));
    const auto figures = at::cat(all).cpu();
    const double* next = figures.const_data_ptr<double>();
    const auto n_targets = static_cast<int64_t>(*next++);
    report.terms = terms_;
    for (auto& term : report.terms) {
      term.value = *next++;
      report.loss += term.coefficient * term.value;
    }
    for (const auto& tally : tallies_) {
      const std::vector<int64_t> counts(next, next + tally.counts.numel());
      report.routing.push_back(analysis::counts_of(tally, counts));
      next += tally.counts.numel();
    }
    for (const auto& score : scores_) report.token_scores.push_back(score.defined() ? *next++ : NAN);
    return n_targets;
  }

  const at::Tensor& statistics(size_t layer) const {
    return statistics_[layer];
  }  // Router::balance_statistics, may be undefined

 private:
  static void add_to(at::Tensor& sum, const at::Tensor& more) { sum = sum.defined() ? sum + more : more; }
  void add_term(size_t index, const LossTerm& term, const at::Tensor& value) {
    if (index == terms_.size()) {
      terms_.push_back(term);
      values_.emplace_back();
    }
    add_to(values_[index], value);
  }

  at::Tensor n_targets_;
  std::vector<LossTerm> terms_;
  std::vector<at::Tensor> values_;               // of the terms, fp64
  std::vector<analysis::RoutingTally> tallies_;  // of each MoE layer
  std::vector<at::Tensor> statistics_;           // of each MoE layer
  std::vector<at::Tensor> scores_;               // token_score of each MoE layer, undefined where it says nothing
};

// The target tokens of the step, which the cross-entropy is divided by, as a tensor.
at::Tensor count_targets(std::span<const data::Batch> micro_batches) {
  at::Tensor sum;
  for (const auto& batch : micro_batches) {
    const auto n = batch.targets.ge(0).sum();
    sum = sum.defined() ? sum + n : n;
  }
  return sum;
}

// The tokens of a step.
struct StepTokens {
  int64_t all = 0, padding = 0;
  std::vector<double> shares;  // that each micro-batch has of those without padding
};

// One read of the device where there is padding.
StepTokens count_tokens(std::span<const data::Batch> micro_batches) {
  StepTokens out;
  std::vector<at::Tensor> paddings;
  for (const auto& batch : micro_batches) {
    out.all += batch.tokens.numel();
    out.shares.push_back(static_cast<double>(batch.tokens.numel()));
    if (batch.is_padding.defined()) paddings.push_back(batch.is_padding.sum());
  }
  if (!paddings.empty()) {
    const auto counts = at::stack(paddings).cpu();
    const int64_t* next = counts.const_data_ptr<int64_t>();
    for (size_t i = 0; i < out.shares.size(); ++i) {
      if (!micro_batches[i].is_padding.defined()) continue;
      out.shares[i] -= static_cast<double>(*next);
      out.padding += *next++;
    }
  }
  const auto counted = static_cast<double>(std::max<int64_t>(1, out.all - out.padding));
  for (double& share : out.shares) share /= counted;
  return out;
}

// Takes the gradients out of the parameters.
std::vector<at::Tensor> take_gradients(const ops::Params& params) {
  std::vector<at::Tensor> gradients;
  for (const auto& [name, param] : params) {
    gradients.push_back(param.grad());
    param.mutable_grad() = at::Tensor();
  }
  return gradients;
}

}  // namespace

at::Tensor token_score(const moe::RoutingDecision& decision) {
  if (decision.score == moe::Score::softmax || !decision.logits.defined() || decision.n_tokens == 0) return {};
  const auto logits = decision.logits.detach();
  const auto scores = decision.score == moe::Score::sigmoid ? at::sigmoid(logits) : at::sqrt(at::softplus(logits));
  const auto sums = scores.sum(1).to(at::kDouble);  // [T]
  if (!decision.is_padding.defined()) return sums.mean();
  const auto keeps = decision.is_padding.logical_not();
  return (sums * keeps).sum() / keeps.sum().clamp_min(1);
}

namespace {
double ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}
}  // namespace
double StepReport::scored_share() const { return ratio(n_scored, n_tokens - n_padding); }
double StepReport::padding_share() const { return ratio(n_padding, n_tokens); }

InStep next_step(const TrainState& state) { return {.step = state.step + 1, .seed = state.seed}; }

std::vector<LossTerm> loss_terms(const model::ModelConfig& config, const moe::Router* router,
                                 double logit_z_coefficient) {
  std::vector<LossTerm> out = {kCrossEntropy};
  const auto& terms = config.balance.terms;
  for (const auto& term : terms)
    out.push_back({terms.size() == 1 ? "balance" : "balance." + term.loss.text(), 0, term.coefficient});
  if (has_router_z(router)) out.push_back({"z", 0, config.balance.z_coefficient});
  if (logit_z_coefficient != 0) out.push_back(logit_z_term(logit_z_coefficient));
  return out;
}

MicroLosses micro_losses(const model::Transformer& model, const model::Snapshot& values, const data::Batch& batch,
                         const InStep& in_step) {
  const auto& config = model.config();
  auto output = model.forward(values.params, values.router_states, training_input(batch, in_step));

  MicroLosses losses;
  const auto targets = batch.targets.reshape({-1});
  const auto head = ops::head_losses(output.hidden, model.head(values.params), targets, in_step.logit_z_coefficient);
  losses.head_sum = head.minimised;
  const bool has_logit_z = in_step.logit_z_coefficient != 0;
  losses.cross_entropy_sum = has_logit_z ? head.cross_entropy : head.minimised.detach();
  if (has_logit_z) losses.logit_z_sum = head.z;
  const auto all_terms = loss_terms(config, model.router(), in_step.logit_z_coefficient);
  const auto& terms = config.balance.terms;
  losses.step_loads = in_step.loads;
  losses.step_loads.resize(terms.size());
  for (size_t i = 0; i < terms.size(); ++i) {
    if (moe::kind_of(terms[i]).scope == moe::Scope::step)
      moe::add_load(losses.step_loads[i], moe::count_load(terms[i], output.routing));
    losses.auxiliary.emplace_back(all_terms[1 + i],
                                  moe::balance_loss(terms[i], {output.routing, &losses.step_loads[i]}));
  }
  if (has_router_z(model.router()))
    losses.auxiliary.emplace_back(all_terms[1 + terms.size()],
                                  moe::z_loss(output.routing, config.balance.z_reduce == moe::ZReduction::mean));
  losses.routing = std::move(output.routing);
  return losses;
}

StepReport train_step(const model::Transformer& model, const StepRule& rule, std::span<const data::Batch> micro_batches,
                      TrainState& state) {
  StepReport report;
  report.learning_rate = rule.learning_rate;
  Stopwatch watch(micro_batches.front().tokens.device());

  // 1. Forward and backward of each micro-batch; gradients add up in the parameters.
  const auto n_targets = count_targets(micro_batches);
  const auto tokens = count_tokens(micro_batches);
  report.n_tokens = tokens.all;
  report.n_padding = tokens.padding;
  StepSums sums(n_targets);
  InStep in_step = next_step(state);
  in_step.router_plans = router_plans(model, state, micro_batches);
  in_step.logit_z_coefficient = rule.logit_z_coefficient;
  for (size_t i = 0; i < micro_batches.size(); ++i) {
    in_step.micro_batch = static_cast<int64_t>(i);
    const auto losses = micro_losses(model, {state.params, state.router_states}, micro_batches[i], in_step);
    in_step.loads = losses.step_loads;
    auto total = sums.mean_of(losses.head_sum);
    sums.add(losses, tokens.shares[i], rule.logit_z_coefficient);
    for (const auto& [term, value] : losses.auxiliary)
      if (term.coefficient != 0) total = total + value * (tokens.shares[i] * term.coefficient);
    report.seconds.forward += watch.lap();
    total.backward();
    report.seconds.backward += watch.lap();
  }

  // 2. Guard: nothing is changed by a step without a target, or one that is not finite.
  const auto gradients = take_gradients(state.params);
  optim::zero_frozen_rows(rule.factors, gradients);
  report.n_scored = sums.read(report);
  require<DataError>(report.n_scored > 0, "step ", state.step + 1, ": got ", report.n_tokens,
                     " tokens without a target; need one at least that is scored");
  report.grad_norm = optim::gradient_norm(gradients);
  require<NumericsError>(std::isfinite(report.loss) && std::isfinite(report.grad_norm), "step ", state.step + 1,
                         ": got loss ", report.loss, " and gradient norm ", report.grad_norm,
                         "; need finite values (lower the learning rate, or look at the data)");

  // 3. Clip and update; then, and only then, the balancing state of the routers.
  optim::clip_gradients(gradients, report.grad_norm, rule.optimizer.clip_norm());
  rule.optimizer.update({rule.learning_rate, rule.factors}, state.params, gradients, state.optimizer);
  for (size_t i = 0; i < state.router_states.size(); ++i)
    if (!router_is_frozen(model, rule.factors, i))
      model.router()->after_step(state.router_states[i], sums.statistics(i));
  report.seconds.optimizer += watch.lap();

  // 4. Count.
  state.step += 1;
  state.phase_step += 1;
  state.tokens += report.n_tokens;
  return report;
}

}  // namespace evenkeel::train
