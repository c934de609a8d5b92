// Every registered balance loss (moe/balance_loss.h), recomputed from the router's logits and choices on each data set,
// so that models trained with different normalisations compare. Each is E / (d T) * sum_e n_e sum_t p_te / T; what is
// kept are n_e and the sums of p_te, in fp64 and sequence by sequence, so that the result is exact over all tokens and
// does not depend on the batches.
#include <set>

#include <ATen/Parallel.h>
#include <ATen/ops/softmax.h>

#include "analysis/analyses/cells.h"
#include "moe/balance_loss.h"
#include "ops/top_k.h"

namespace evenkeel::analysis {
namespace {

using moe::BalanceLossKind;
using moe::Counts;
using moe::LayerReduction;

constexpr size_t kCounts = 4;  // values of moe::Counts

using Sums = std::vector<double>;  // [E]

// Over tokens of one layer: a sequence, a data set, or all layers of it together.
struct Load {
  std::vector<Sums> probs;   // [guard] sums of p_te
  std::vector<Sums> counts;  // [kCounts] n_e
  double n_tokens = 0;
};
Load make_load(size_t n_guards, size_t n_experts) {
  return {std::vector<Sums>(n_guards, Sums(n_experts, 0.0)), std::vector<Sums>(kCounts, Sums(n_experts, 0.0)), 0};
}
void add(Load& total, const Load& more) {
  for (size_t guard = 0; guard < total.probs.size(); ++guard)
    for (size_t e = 0; e < total.probs[guard].size(); ++e) total.probs[guard][e] += more.probs[guard][e];
  for (size_t counts = 0; counts < kCounts; ++counts)
    for (size_t e = 0; e < total.counts[counts].size(); ++e) total.counts[counts][e] += more.counts[counts][e];
  total.n_tokens += more.n_tokens;
}
// sum_e n_e sum_t p_te / T
double product(const Load& load, size_t guard, size_t counts) {
  double sum = 0;
  for (size_t e = 0; e < load.probs[guard].size(); ++e) sum += load.counts[counts][e] * load.probs[guard][e];
  return load.n_tokens == 0 ? 0.0 : sum / load.n_tokens;
}

// One layer and data set.
struct LayerSums {
  Load load;
  std::vector<Sums> by_sequence;  // [guard][kCounts] sum over sequences of their product()
  double z = 0;                   // sum over tokens of logsumexp^2
  bool has_logits = false;
};

// Scores of one token that sum to 1 (moe/balance_loss.h), of routers without a softmax. `guard` is the floor under each
// score.
void normalised_scores(const double* logits, moe::Score score, double guard, Sums& out) {
  double sum = 0;
  for (size_t e = 0; e < out.size(); ++e) {
    const double small = std::exp(-std::abs(logits[e]));
    const double sigmoid = (logits[e] >= 0 ? 1.0 : small) / (1 + small),
                 softplus = std::max(logits[e], 0.0) + std::log1p(small);
    out[e] = (score == moe::Score::sigmoid ? sigmoid : std::sqrt(softplus)) + guard;
    sum += out[e];
  }
  for (double& value : out) value /= sum + moe::kScoreGuard;
}

// What one layer of a batch adds, token by token.
class LayerPass {
 public:
  LayerPass(const moe::RoutingDecision& decision, const TokenChoices& choices, const std::vector<double>& guards)
      : decision_(decision),
        choices_(choices),
        guards_(guards),
        n_experts_(static_cast<size_t>(decision.n_experts)),
        logits_(decision.logits.to(at::kDouble).contiguous()),
        softmax_(at::softmax(logits_, 1)),
        largest_(ops::top_k_ids(decision.logits, decision.top_k)),
        scores_(n_experts_) {}

  // Adds token t to `load`; returns its logsumexp squared.
  double add_token(int64_t t, Load& load) {
    const double* logits = logits_.const_data_ptr<double>() + t * decision_.n_experts;
    const double* softmax = softmax_.const_data_ptr<double>() + t * decision_.n_experts;
    const int64_t* largest = largest_.const_data_ptr<int64_t>() + t * decision_.top_k;
    for (size_t guard = 0; guard < guards_.size(); ++guard) {
      if (decision_.score != moe::Score::softmax) normalised_scores(logits, decision_.score, guards_[guard], scores_);
      const double* p = decision_.score == moe::Score::softmax ? softmax : scores_.data();
      double* sums = load.probs[guard].data();
      for (size_t e = 0; e < n_experts_; ++e) sums[e] += p[e];
    }
    for (int64_t i = 0; i < decision_.top_k; ++i) counts(load, Counts::plain)[static_cast<size_t>(largest[i])] += 1;
    counts(load, Counts::first)[static_cast<size_t>(largest[0])] += 1;
    const bool* dropped = decision_.dropped.defined() ? decision_.dropped.const_data_ptr<bool>() : nullptr;
    int64_t n = choices_.begin(t);
    for (const int64_t expert : choices_.of(t)) {
      counts(load, Counts::actual)[static_cast<size_t>(expert)] += 1;
      if (dropped == nullptr || !dropped[n]) counts(load, Counts::kept)[static_cast<size_t>(expert)] += 1;
      ++n;
    }
    load.n_tokens += 1;
    const double lse = logits[largest[0]] - std::log(softmax[largest[0]]);
    return lse * lse;
  }

 private:
  static Sums& counts(Load& load, Counts which) { return load.counts[static_cast<size_t>(which)]; }
  const moe::RoutingDecision& decision_;
  const TokenChoices& choices_;
  const std::vector<double>& guards_;
  size_t n_experts_;
  at::Tensor logits_, softmax_, largest_;  // [T, E] f64, [T, E] f64, [T, k] i64
  Sums scores_;
};

class BalanceLosses : public Analysis {
 public:
  explicit BalanceLosses(const AnalysisInput& input) : data_(input.data), layers_(input.layers) {
    std::set<double> guards;
    for (const auto& kind : moe::balance_loss_kinds()) guards.insert(kind.score_floor);
    guards_.assign(guards.begin(), guards.end());
    for (size_t d = 0; d < data_.size(); ++d) {
      sums_.emplace_back();
      for (const auto& layer : layers_) {
        LayerSums sums;
        sums.load = make_load(guards_.size(), static_cast<size_t>(layer.n_experts));
        sums.by_sequence.assign(guards_.size(), Sums(kCounts, 0.0));
        sums_.back().push_back(std::move(sums));
      }
    }
  }

  void observe(const Observation& batch) override {
    n_tokens_ += counted_tokens(batch);
    const auto choices = choices_of(batch.routing, layers_, batch.input_ids.numel());
    at::parallel_for(0, static_cast<int64_t>(layers_.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer)
        if (batch.routing[layer].logits.defined())
          add_layer(batch, batch.routing[layer], choices[layer], sums_.at(batch.data)[layer]);
    });
  }

  std::vector<NamedTable> tables() const override {
    Table table;
    table.columns = {{"layer", ""}, {"domain", ""}, {"loss", ""}, {"value", ""}, {"uniform", ""}, {"scope", ""}};
    table.tokens = n_tokens_;
    table.source =
        "E / (d T) sum_e n_e sum_t p_te / T without coefficient, by each source's counts, d and reduction over layers "
        "(docs/routers.md); layer null: all layers. Losses of a micro-batch or step "
        "take the data set as one; those of a sequence are averaged over sequences by tokens. uniform: the value, and "
        "minimum, when load and probabilities are uniform. z: mean of logsumexp^2";
    for (size_t d = 0; d < data_.size(); ++d) {
      if (std::none_of(sums_[d].begin(), sums_[d].end(), [](const LayerSums& sums) { return sums.has_logits; }))
        continue;
      for (const auto& kind : moe::balance_loss_kinds()) add_rows(d, kind, table);
      add_z(d, table);
    }
    if (table.rows.empty()) return {};
    return {{"balance_losses", std::move(table)}};
  }

  std::vector<std::string> notes() const override {
    std::vector<std::string> notes;
    for (size_t layer = 0; layer < layers_.size() && n_tokens_ > 0; ++layer)
      if (std::none_of(sums_.begin(), sums_.end(),
                       [layer](const auto& by_layer) { return by_layer[layer].has_logits; }))
        notes.push_back(join_parts("balance_losses: layer ", layers_[layer].layer, " needs the router's logits"));
    return notes;
  }

 private:
  void add_layer(const Observation& batch, const moe::RoutingDecision& decision, const TokenChoices& choices,
                 LayerSums& sums) const {
    const int64_t n_sequences = batch.input_ids.size(0), length = batch.input_ids.size(1);
    const bool* padding = padding_of(batch);
    LayerPass pass(decision, choices, guards_);
    for (int64_t sequence = 0; sequence < n_sequences; ++sequence) {
      auto load = make_load(guards_.size(), static_cast<size_t>(decision.n_experts));
      double z = 0;
      for (int64_t t = sequence * length; t < (sequence + 1) * length; ++t)
        if (padding == nullptr || !padding[t]) z += pass.add_token(t, load);
      add(sums.load, load);
      sums.z += z;
      for (size_t guard = 0; guard < guards_.size(); ++guard)
        for (size_t counts = 0; counts < kCounts; ++counts)
          sums.by_sequence[guard][counts] += product(load, guard, counts);
    }
    sums.has_logits = sums.has_logits || sums.load.n_tokens > 0;
  }

  size_t guard_of(const BalanceLossKind& kind) const {
    return static_cast<size_t>(std::find(guards_.begin(), guards_.end(), kind.score_floor) - guards_.begin());
  }
  static double divisor(const BalanceLossKind& kind, const LayerShape& layer) {
    return kind.divides_by_k ? static_cast<double>(layer.top_k) : 1.0;
  }

  double value(size_t layer, const LayerSums& sums, const BalanceLossKind& kind) const {
    const auto counts = static_cast<size_t>(kind.counts);
    const double sum = kind.scope == moe::Scope::sequence ? sums.by_sequence[guard_of(kind)][counts]
                                                          : product(sums.load, guard_of(kind), counts);
    return static_cast<double>(layers_[layer].n_experts) / (divisor(kind, layers_[layer]) * sums.load.n_tokens) * sum;
  }
  static double uniform(const LayerShape& layer, const BalanceLossKind& kind) {
    return kind.divides_by_k || kind.counts == Counts::first ? 1.0 : static_cast<double>(layer.top_k);
  }

  void add_rows(size_t data, const BalanceLossKind& kind, Table& table) const {
    const Json scope = kind.scope == moe::Scope::sequence ? "sequence" : "data set";
    double sum = 0, uniform_sum = 0;
    LayerSums all;
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      const auto& sums = sums_[data][layer];
      if (!sums.has_logits) continue;
      const double of_layer = value(layer, sums, kind);
      sum += of_layer;
      uniform_sum += uniform(layers_[layer], kind);
      table.add_row(
          {layers_[layer].layer, data_[data].name, kind.name, of_layer, uniform(layers_[layer], kind), scope});
      if (!all.has_logits) {
        all = sums;
      } else if (sums.load.counts[0].size() == all.load.counts[0].size()) {
        add(all.load, sums.load);
      }
    }
    if (kind.layers == LayerReduction::concatenated) {
      sum = value(0, all, kind);
      uniform_sum = uniform(layers_[0], kind);
    }
    const double n = kind.layers == LayerReduction::mean ? static_cast<double>(layers_.size()) : 1.0;
    table.add_row({Json(), data_[data].name, kind.name, sum / n, uniform_sum / n, scope});
  }

  void add_z(size_t data, Table& table) const {
    double sum = 0;
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      const auto& sums = sums_[data][layer];
      if (!sums.has_logits) continue;
      sum += sums.z / sums.load.n_tokens;
      table.add_row({layers_[layer].layer, data_[data].name, "z", sums.z / sums.load.n_tokens, Json(), "data set"});
    }
    table.add_row({Json(), data_[data].name, "z", sum, Json(), "data set"});
  }

  std::vector<DataSet> data_;
  std::vector<LayerShape> layers_;
  std::vector<double> guards_;                // of the registered losses
  std::vector<std::vector<LayerSums>> sums_;  // [data][layer]
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_balance_losses_analysis(const AnalysisInput& input) {
  return std::make_unique<BalanceLosses>(input);
}

double balance_losses_analysis_bytes(const AnalysisInput& input) {
  constexpr double kGuards = 2;
  double bytes = 1024;
  for (const auto& layer : input.layers)
    bytes += static_cast<double>(input.data.size()) *
             (sizeof(LayerSums) + sizeof(double) * (kGuards + kCounts) * static_cast<double>(layer.n_experts));
  return bytes;
}

}  // namespace evenkeel::analysis
