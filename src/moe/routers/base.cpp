// BASE layers (arXiv 2103.16716; fairseq modules/base_layer.py and clib/libbase/balanced_assignment.cpp). One
// expert a token. In training the tokens of the micro-batch are shared out equally, so that the sum of their
// affinities x·c_e is near the largest possible, by an auction in which the experts bid for their tokens; at
// evaluation each token goes to its largest affinity. The weight is sigmoid(x·c_e); nothing flows back through
// the assignment. The centroids c [E, H], the router's matrix, begin orthogonal with gain 0.1.
//
// The paper's layer gives y = a f(x) + (1 - a) x with a = sigmoid(x·c_e) and an expert f(x) = x + ffn(norm(x)) that
// holds its own residual: y = x + a ffn(norm(x)), which is this weight on an expert's output in a pre-norm
// residual stream. Other than there the affinities see the normalised x, as every router here does, and the
// tokens are not shuffled between devices.
//
// The auction as there, T tokens and E experts where E divides T: an expert bids for the T / E tokens that are
// worth most to it, value - (T / E + 1)-th value + eps; the highest bid takes the token and is added to its
// price; value = affinity - price, and what an expert holds is worth the global maximum to it. After max_rounds
// rounds holding is worth the plain affinity, which ends sooner. Ours: ties to the lower token and expert; where
// E does not divide T each of the T mod E tokens left over is auctioned to an expert of its own; after
// 2 max_rounds rounds the rest goes by falling affinity, so that the loop is bounded.
#include "moe/routers/base.h"

#include <numeric>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/index.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tensor.h>

#include "moe/router.h"
#include "ops/top_k.h"

namespace evenkeel::moe {
namespace {

class Auction {
 public:
  Auction(const at::Tensor& values, int64_t jobs_per_worker)
      : n_workers_(static_cast<size_t>(values.size(0))),
        n_jobs_(static_cast<size_t>(values.size(1))),
        jobs_per_worker_(static_cast<size_t>(jobs_per_worker)),
        score_(values.const_data_ptr<double>()),
        value_(score_, score_ + n_workers_ * n_jobs_),
        price_(n_jobs_, 0.0),
        high_bid_(n_jobs_, 0.0),
        winner_(n_jobs_, kNobody),
        holder_(n_jobs_, kNobody),
        wanted_(n_workers_, std::vector<size_t>(n_jobs_)) {
    const auto [low, high] = std::minmax_element(value_.begin(), value_.end());
    largest_ = *high;
    epsilon_ = std::max((*high - *low) / 50, 1e-4);
    for (auto& jobs : wanted_) std::iota(jobs.begin(), jobs.end(), 0);
  }

  AuctionResult run(int64_t max_rounds) {
    for (int64_t round = 0; round < 2 * max_rounds; ++round) {
      choose();
      if (bid() == n_workers_ * jobs_per_worker_) return {winner_, round + 1};
      raise_prices(/*holding_is_best=*/round < max_rounds);
      if (round + 1 < max_rounds) {
        holder_ = winner_;
      } else {
        std::fill(holder_.begin(), holder_.end(), kNobody);  // from here on holders bid in full
      }
    }
    fill_greedily();
    return {winner_, 2 * max_rounds};
  }

 private:
  double& value(size_t worker, size_t job) { return value_[worker * n_jobs_ + job]; }
  size_t border() const {
    return std::min(jobs_per_worker_, n_jobs_ - 1);
  }  // rank of the first job that a worker does not bid for

  // Brings each worker's best jobs to the front of its list, and the next one behind them. Equal values: what it
  // holds first, then the lower job.
  void choose() {
    at::parallel_for(0, static_cast<int64_t>(n_workers_), 1, [&](int64_t begin, int64_t end) {
      for (auto worker = static_cast<size_t>(begin); worker < static_cast<size_t>(end); ++worker) {
        const auto is_better = [&](size_t a, size_t b) {
          if (value(worker, a) != value(worker, b)) return value(worker, a) > value(worker, b);
          const bool holds_a = holder_[a] == worker, holds_b = holder_[b] == worker;
          return holds_a != holds_b ? holds_a : a < b;
        };
        auto& jobs = wanted_[worker];
        std::nth_element(jobs.begin(), jobs.begin() + static_cast<std::ptrdiff_t>(border()), jobs.end(), is_better);
      }
    });
  }

  // Returns the number of jobs that got a bid. Equal bids go to the lower worker.
  size_t bid() {
    size_t n_with_bid = 0;
    std::fill(high_bid_.begin(), high_bid_.end(), 0.0);
    std::fill(winner_.begin(), winner_.end(), kNobody);
    for (size_t worker = 0; worker < n_workers_; ++worker) {
      const double next = value(worker, wanted_[worker][border()]);
      for (size_t i = 0; i < jobs_per_worker_; ++i) {
        const size_t job = wanted_[worker][i];
        const double offer = holder_[job] == worker ? epsilon_ : value(worker, job) - next + epsilon_;
        if (winner_[job] == kNobody) ++n_with_bid;
        if (offer <= high_bid_[job]) continue;
        high_bid_[job] = offer;
        winner_[job] = worker;
      }
    }
    return n_with_bid;
  }

  void raise_prices(bool holding_is_best) {
    for (size_t job = 0; job < n_jobs_; ++job) price_[job] += high_bid_[job];
    for (size_t worker = 0; worker < n_workers_; ++worker)
      for (size_t job = 0; job < n_jobs_; ++job) value(worker, job) = score_[worker * n_jobs_ + job] - price_[job];
    for (size_t job = 0; job < n_jobs_; ++job)
      if (winner_[job] != kNobody)
        value(winner_[job], job) = holding_is_best ? largest_ : score_[winner_[job] * n_jobs_ + job];
  }

  // The free jobs to the workers that have too few, by falling value; equal ones to the lower worker and job.
  void fill_greedily() {
    std::vector<size_t> missing(n_workers_, jobs_per_worker_);
    for (const size_t worker : winner_)
      if (worker != kNobody) --missing[worker];
    struct Pair {
      double score;
      size_t worker, job;
    };
    std::vector<Pair> pairs;
    for (size_t worker = 0; worker < n_workers_; ++worker)
      for (size_t job = 0; job < n_jobs_ && missing[worker] > 0; ++job)
        if (winner_[job] == kNobody) pairs.push_back({score_[worker * n_jobs_ + job], worker, job});
    std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) { return a.score > b.score; });
    for (const auto& pair : pairs) {
      if (winner_[pair.job] != kNobody || missing[pair.worker] == 0) continue;
      winner_[pair.job] = pair.worker;
      --missing[pair.worker];
    }
  }

  const size_t n_workers_, n_jobs_, jobs_per_worker_;
  const double* score_;                      // [W, J]
  std::vector<double> value_;                // [W, J] score - price, or what holding is worth
  std::vector<double> price_, high_bid_;     // [J]
  std::vector<size_t> winner_, holder_;      // [J] of this round; of the round before, while holders bid the least
  std::vector<std::vector<size_t>> wanted_;  // [W][J] jobs, the best in front
  double largest_ = 0, epsilon_ = 0;
};

}  // namespace

AuctionResult auction(const at::Tensor& values, int64_t jobs_per_worker, int64_t max_rounds) {
  return Auction(values, jobs_per_worker).run(max_rounds);
}

at::Tensor balanced_assignment(const at::Tensor& affinities, int64_t max_rounds) {
  const int64_t n_tokens = affinities.size(0), n_experts = affinities.size(1);
  std::vector<size_t> expert(static_cast<size_t>(n_tokens), kNobody);
  if (n_tokens >= n_experts)
    expert = auction(affinities.t().contiguous(), n_tokens / n_experts, max_rounds).worker_of_job;
  std::vector<int64_t> left;
  for (int64_t t = 0; t < n_tokens; ++t)
    if (expert[static_cast<size_t>(t)] == kNobody) left.push_back(t);
  if (!left.empty()) {  // fewer than E: each bids for an expert
    const auto left_of_expert =
        auction(affinities.index_select(0, at::tensor(left, at::kLong)), 1, max_rounds).worker_of_job;
    for (size_t e = 0; e < left_of_expert.size(); ++e)
      if (left_of_expert[e] != kNobody) expert[static_cast<size_t>(left[left_of_expert[e]])] = e;
  }
  return at::tensor(std::vector<int64_t>(expert.begin(), expert.end()), at::kLong);
}

namespace {

struct BaseOptions {
  int64_t max_rounds = 100;
  static void visit_fields(auto& options, auto&& field) {
    field("max_rounds", options.max_rounds,
          {"most rounds of the exact auction; as many again of the faster one", "rounds"});
  }
};

class BaseRouter : public Router {
 public:
  explicit BaseRouter(BaseOptions options) : options_(options) {}

  RoutingDecision route(const RouterInput& input) const override {
    const auto logits = router_logits(input, traits().max_abs_logit);  // [T, E]
    auto expert_ids = ops::top_k_ids(logits, 1);                       // [T, 1]
    if (input.mode == Mode::train) balance(input, logits.detach(), expert_ids);
    auto out = token_choice(input, logits, expert_ids, at::sigmoid(logits.gather(1, expert_ids)));
    out.score = Score::sigmoid;
    return out;
  }

  RouterTraits traits() const override {
    RouterTraits out;
    out.train_scope = Scope::micro_batch;
    out.causal_train = out.needs_balance = false;
    out.balanced_train = true;
    out.max_top_k = 1;
    out.is_orthogonal_at_first = true;
    return out;
  }

  Json options() const override {
    Json out = to_json(options_);
    out["kind"] = "base";
    return out;
  }

 private:
  // Padding keeps its largest affinity and takes no part.
  void balance(const RouterInput& input, const at::Tensor& logits, at::Tensor& expert_ids) const {
    const auto wide = logits.to(at::kDouble);
    if (!input.is_padding.defined()) {
      expert_ids.copy_(balanced_assignment(wide.cpu().contiguous(), options_.max_rounds).unsqueeze(1));
      return;
    }
    const auto tokens = input.is_padding.logical_not().nonzero().squeeze(1);
    const auto balanced = balanced_assignment(wide.index_select(0, tokens).cpu().contiguous(), options_.max_rounds);
    expert_ids.index_copy_(0, tokens, balanced.unsqueeze(1).to(expert_ids.device()));
  }

  BaseOptions options_;
};

std::unique_ptr<Router> make(const RouterShape&, BaseOptions options, const ConfigNode& config) {
  const ConfigNode* rounds = config.find("max_rounds");
  require<ConfigError>(options.max_rounds >= 1 && options.max_rounds <= 100000,
                       got_at(rounds != nullptr ? rounds->where : "model.router", "model.router.max_rounds"),
                       options.max_rounds, "; need 1..100000");
  return std::make_unique<BaseRouter>(options);
}

}  // namespace

RouterFactory base_router() { return factory_of(make); }

}  // namespace evenkeel::moe
