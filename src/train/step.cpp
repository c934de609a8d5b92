#include "train/step.h"

#include <chrono>
#include <cmath>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include "core/rng.h"
#include "moe/balance_loss.h"
#include "ops/cross_entropy.h"
#include "optim/gradient_norm.h"

namespace evenkeel::train {
namespace {

class Stopwatch {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

int64_t count_targets(const data::Batch& batch) { return batch.targets.ge(0).sum().item<int64_t>(); }

model::ModelInput training_input(const TrainState& state, const data::Batch& batch, int64_t micro_batch) {
  model::ModelInput input;
  input.tokens = batch.tokens;
  input.document_ids = batch.document_ids;
  input.step = state.step + 1;
  input.seed = combine_bits(combine_bits(state.seed, static_cast<uint64_t>(input.step)), static_cast<uint64_t>(micro_batch));
  return input;
}

// Where the matrix is frozen the router is: its balancing state stays too (Megatron moves that of modules that train alone).
bool is_frozen(const optim::RateFactors& factors, int64_t layer) {
  const auto factor = factors.find("layers." + std::to_string(layer) + ".router.weight");
  return factor != factors.end() && factor->second == 0;
}

// The plan of each MoE layer for the whole step, where the router asks for one and there is more than one micro-batch.
std::vector<at::Tensor> router_plans(const model::Transformer& model, const TrainState& state, std::span<const data::Batch> micro_batches) {
  if (model.router() == nullptr || model.router()->traits().train_scope != moe::Scope::step || micro_batches.size() == 1) return {};
  const at::NoGradGuard no_grad;
  data::Batch whole;
  std::vector<at::Tensor> tokens, document_ids;
  for (const auto& batch : micro_batches) {
    tokens.push_back(batch.tokens);
    if (batch.document_ids.defined()) document_ids.push_back(batch.document_ids);
  }
  whole.tokens = at::cat(tokens);
  if (!document_ids.empty()) whole.document_ids = at::cat(document_ids);
  std::vector<at::Tensor> plans;
  for (const auto& decision : model.forward(state.params, state.router_states, training_input(state, whole, 0)).routing) plans.push_back(decision.plan);
  return plans;
}

}  // namespace

MicroLosses micro_losses(const model::Transformer& model, const TrainState& state, const data::Batch& batch, const InStep& in_step) {
  const auto& config = model.config();
  auto input = training_input(state, batch, in_step.micro_batch);
  input.step_plans = in_step.router_plans;
  auto output = model.forward(state.params, state.router_states, input);

  MicroLosses losses;
  losses.cross_entropy_sum = ops::cross_entropy_sum(output.hidden, model.head(state.params), batch.targets.reshape({-1}));
  const auto& terms = config.balance.terms;
  losses.step_loads = in_step.loads;
  losses.step_loads.resize(terms.size());
  for (size_t i = 0; i < terms.size(); ++i) {
    if (moe::kind_of(terms[i]).scope == moe::Scope::step) moe::add_load(losses.step_loads[i], moe::count_load(terms[i], output.routing));
    losses.auxiliary.emplace_back(LossTerm{terms.size() == 1 ? "balance" : "balance." + terms[i].loss, 0, terms[i].coefficient},
                                  moe::balance_loss(terms[i], {output.routing, &losses.step_loads[i]}));
  }
  if (config.is_moe() && model.router()->traits().has_matrix)
    losses.auxiliary.emplace_back(LossTerm{"z", 0, config.balance.z_coefficient}, moe::z_loss(output.routing, config.balance.z_reduce == "mean"));
  losses.routing = std::move(output.routing);
  return losses;
}

StepReport train_step(const model::Transformer& model, const optim::OptimizerConfig& optimizer, const optim::RateFactors& factors,
                      std::span<const data::Batch> micro_batches, double learning_rate, TrainState& state) {
  StepReport report;
  report.learning_rate = learning_rate;
  Stopwatch watch;

  // 1. The divisor of the cross-entropy: target tokens of the whole step.
  int64_t n_targets = 0;
  for (const auto& batch : micro_batches) {
    n_targets += count_targets(batch);
    report.n_tokens += batch.tokens.numel();
  }

  // 2. Forward and backward of each micro-batch; gradients add up in the parameters.
  report.terms.push_back({"cross_entropy", 0, 1.0});
  std::vector<at::Tensor> statistics(state.router_states.size());
  InStep in_step;
  watch.lap();
  in_step.router_plans = router_plans(model, state, micro_batches);
  for (size_t i = 0; i < micro_batches.size(); ++i) {
    in_step.micro_batch = static_cast<int64_t>(i);
    auto losses = micro_losses(model, state, micro_batches[i], in_step);
    in_step.loads = losses.step_loads;
    const double share = static_cast<double>(micro_batches[i].tokens.numel()) / static_cast<double>(report.n_tokens);
    auto total = losses.cross_entropy_sum / static_cast<double>(n_targets);
    report.terms[0].value += total.item<double>();
    for (size_t j = 0; j < losses.auxiliary.size(); ++j) {
      const auto& [term, value] = losses.auxiliary[j];
      if (report.terms.size() == j + 1) report.terms.push_back(term);
      report.terms[j + 1].value += share * value.item<double>();
      if (term.coefficient != 0) total = total + value * (share * term.coefficient);
    }
    analysis::add_counts(report.routing, losses.routing);
    for (size_t layer = 0; layer < losses.routing.size(); ++layer) {
      const auto& more = losses.routing[layer].balance_statistics;
      if (more.defined()) statistics[layer] = statistics[layer].defined() ? statistics[layer] + more : more;
    }
    report.seconds.forward += watch.lap();
    total.backward();
    report.seconds.backward += watch.lap();
  }
  for (const auto& term : report.terms) report.loss += term.coefficient * term.value;

  // 3. Guard: nothing is changed by a step that is not finite.
  std::vector<at::Tensor> gradients;
  for (const auto& [name, param] : state.params) {
    gradients.push_back(param.grad());
    param.mutable_grad() = at::Tensor();
  }
  report.grad_norm = optim::gradient_norm(gradients);
  require<NumericsError>(std::isfinite(report.loss) && std::isfinite(report.grad_norm), "step ", state.step + 1, ": got loss ", report.loss,
                         " and gradient norm ", report.grad_norm, "; need finite values (lower the learning rate, or look at the data)");

  // 4. Clip and update; then, and only then, the balancing state of the routers.
  optim::clip_gradients(gradients, report.grad_norm, optimizer.clip_norm);
  optim::adamw_update(optimizer, state.params, gradients, learning_rate, factors, state.adam);
  for (size_t i = 0; i < state.router_states.size(); ++i)
    if (!is_frozen(factors, report.routing[i].layer)) model.router()->after_step(state.router_states[i], statistics[i]);
  report.seconds.optimizer += watch.lap();

  // 5. Count.
  state.step += 1;
  state.phase_step += 1;
  state.tokens += report.n_tokens;
  return report;
}

}  // namespace evenkeel::train
