// The lines of a run's metrics.jsonl as structs. They are written and read by these alone (docs/formats.md).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/columns.h"
#include "record/alarm.h"

namespace evenkeel::record {

constexpr Range kFromOne{.least = 1};
constexpr Range kEntropy{.least = 0, .most = 1 + 1e-9};  // a sum over experts, which is rounded

inline constexpr AboutColumn kShare{"", true, kFraction};  // one that lines of an earlier version lack

// The mean of a softmax in single precision may lie that much below 0.
constexpr Range kCrossEntropy{.least = -1e-6};

// How a layer's tokens are spread over its experts, in a step or on a held-out set.
struct LayerRouting {
  int64_t layer = 0;
  double mri = 0;      // max_e tokens_e / tokens, never below k / E (arXiv 2503.05029)
  double entropy = 0;  // of the load, divided by ln E; 1 when E = 1
  double cv = 0;       // population standard deviation / mean of the load
  int64_t dead = 0;    // experts without a token
  double dropped = 0;  // share of the assignments
  // [E] shares of the assignments, sum 1; zeros without tokens; empty where it was not read.
  std::vector<double> load = {};
  int64_t n_assignments = 0;  // that `load` is shares of; 0 where it was read from a line, which does not say it
  std::optional<double> mri_se = {};  // standard error, of held-out sets alone

  static void visit_columns(auto& row, auto&& visit) {
    visit("layer", row.layer, kNotNegative);
    visit("mri", row.mri, kFraction);
    visit("entropy", row.entropy, kEntropy);
    visit("cv", row.cv, kNotNegative);
    visit("dead", row.dead, kNotNegative);
    visit("dropped", row.dropped, kFraction);
    visit("load", row.load, {"", true, kFraction});
    visit("mri_se", row.mri_se, {"", true, kNotNegative});
  }
};

struct StepRow {
  int64_t step = 0;
  std::string phase;
  int64_t phase_step = 0;
  int64_t tokens = 0;                                      // of the run so far
  double loss = 0;                                         // what is minimised
  std::vector<std::pair<std::string, double>> loss_terms;  // unscaled
  double lr = 0;
  double grad_norm = 0;  // before clipping
  double seconds = 0;
  double tokens_per_second = 0;
  std::optional<double> gemm_fraction;                   // of the measured rate of square matrix products
  std::vector<std::pair<std::string, int64_t>> sources;  // sequences of each
  // Of the phase, in words; none in a line of an earlier version, as the next two.
  std::optional<std::string> objective;
  std::optional<double> scored_share;   // of the tokens without padding
  std::optional<double> padding_share;  // of the step's tokens
  std::vector<LayerRouting> routing;    // one for each MoE layer
  std::vector<Alarm> alarms;            // new at this step

  // The cross-entropy alone, where the line tells it apart.
  double cross_entropy() const;
  static void visit_columns(auto& row, auto&& visit) {
    visit("step", row.step, kNotNegative);
    visit("phase", row.phase);
    visit("phase_step", row.phase_step, kFromOne);
    visit("tokens", row.tokens, kNotNegative);
    visit("loss", row.loss);
    visit("loss_terms", row.loss_terms);
    visit("lr", row.lr, kNotNegative);
    visit("grad_norm", row.grad_norm, kNotNegative);
    visit("seconds", row.seconds, kNotNegative);
    visit("tokens_per_second", row.tokens_per_second, kNotNegative);
    visit("gemm_fraction", row.gemm_fraction, kNotNegative);
    visit("sources", row.sources, kNotNegative);
    visit("objective", row.objective, kLeftOutWhenEmpty);
    visit("scored_share", row.scored_share, kShare);
    visit("padding_share", row.padding_share, kShare);
    visit("routing", row.routing);
    visit("alarms", row.alarms, kLeftOutWhenEmpty);
  }
};

// Losses of clusters of tokens (windows, documents, blocks of them) of a text.
struct ClusterMeans {
  std::vector<double> means;    // of each cluster, in the order of the text
  std::vector<int64_t> tokens;  // that it is a mean of, at least 1
  size_t size() const { return means.size(); }
  static void visit_columns(auto& row, auto&& visit) {
    visit("tokens", row.tokens, kFromOne);
    visit("loss", row.means, kCrossEntropy);
  }
};

// Of one held-out set.
struct SetResult {
  double loss = 0;                       // nats a target token
  std::optional<double> loss_se;         // standard error
  std::optional<double> perplexity;      // null beyond a loss of 709 nats
  std::optional<double> bits_per_byte;   // null where the data do not say their bytes
  std::optional<int64_t> tokens;         // scored
  std::optional<std::string> objective;  // that it is scored by; none: causal
  std::optional<ClusterMeans> loss_blocks;
  std::optional<double> mri_se;  // standard error of the MRI, mean over layers
  std::vector<LayerRouting> routing;
  static void visit_columns(auto& row, auto&& visit) {
    visit("loss", row.loss, kCrossEntropy);
    visit("loss_se", row.loss_se, kNotNegative);
    visit("perplexity", row.perplexity, kNotNegative);
    visit("bits_per_byte", row.bits_per_byte, kCrossEntropy);
    visit("tokens", row.tokens, kNotNegative);
    visit("objective", row.objective, kLeftOutWhenEmpty);
    visit("loss_blocks", row.loss_blocks, kLeftOutWhenEmpty);
    visit("mri_se", row.mri_se, kNotNegative);
    visit("routing", row.routing);
  }
};

template <class T>
using BySet = std::vector<std::pair<std::string, T>>;  // by the name of the held-out set, in the order of the recipe

struct EvaluationRow {
  int64_t step = 0;
  std::string phase;
  int64_t tokens = 0;  // of the run so far
  BySet<SetResult> eval;
  const SetResult* find(const std::string& data) const;  // nullptr where the set was not evaluated
  static void visit_columns(auto& row, auto&& visit) {
    visit("step", row.step, kNotNegative);
    visit("phase", row.phase);
    visit("tokens", row.tokens, kNotNegative);
    visit("eval", row.eval);
  }
};

struct LayerSaturation {
  int64_t layer = 0;
  int64_t k = 0;
  int64_t from = 0, to = 0;  // steps
  double saturation = 0;
  double chance = 0;
  static void visit_columns(auto& row, auto&& visit) {
    visit("layer", row.layer, kNotNegative);
    visit("k", row.k, kFromOne);
    visit("from", row.from, kNotNegative);
    visit("to", row.to, kNotNegative);
    visit("saturation", row.saturation, kFraction);
    visit("chance", row.chance, kFraction);
  }
};

struct SaturationRow {
  int64_t step = 0;
  std::string phase;
  BySet<std::vector<LayerSaturation>> saturation;
  static void visit_columns(auto& row, auto&& visit) {
    visit("step", row.step, kNotNegative);
    visit("phase", row.phase);
    visit("saturation", row.saturation);
  }
};

using RunLine = std::variant<StepRow, EvaluationRow, SaturationRow>;
int64_t step_of(const RunLine& line);
const std::string& phase_of(const RunLine& line);
using evenkeel::to_json;
Json to_json(const RunLine& line);
// DataError "WHERE: got …" for what is no line of a run.
RunLine run_line(const Json& json, const std::string& where);

}  // namespace evenkeel::record
