#include "train/mri_error.h"

#include <algorithm>
#include <cmath>

#include "analysis/share_interval.h"

namespace evenkeel::train {
namespace {

// [n, E + 1] of the n clusters from the batch's first on: tokens of each expert, then all tokens.
std::vector<int64_t> counts_by_cluster(const moe::RoutingDecision& decision, const std::vector<int64_t>& clusters,
                                       int64_t n) {
  const auto token_ids = decision.token_ids.cpu().contiguous(), expert_ids = decision.expert_ids.cpu().contiguous();
  const auto is_padding = decision.is_padding.defined() ? decision.is_padding.cpu().contiguous() : decision.is_padding;
  const bool* padding = is_padding.defined() ? is_padding.const_data_ptr<bool>() : nullptr;
  const int64_t* tokens = token_ids.const_data_ptr<int64_t>();
  const int64_t* experts = expert_ids.const_data_ptr<int64_t>();
  const int64_t row = decision.n_experts + 1;
  std::vector<int64_t> out(static_cast<size_t>(n * row));
  const auto cell = [&](int64_t token, int64_t column) -> int64_t& {
    return out[static_cast<size_t>((clusters[static_cast<size_t>(token)] - clusters[0]) * row + column)];
  };
  for (int64_t i = 0; i < expert_ids.size(0); ++i)
    if (padding == nullptr || !padding[tokens[i]]) ++cell(tokens[i], experts[i]);
  for (int64_t token = 0; token < decision.n_tokens; ++token)
    if (padding == nullptr || !padding[token]) ++cell(token, decision.n_experts);
  return out;
}

// `squares`: the sum over replicates of squared distances from their mean.
double error_of_squares(double squares, int64_t n_clusters) {
  const auto W = static_cast<double>(n_clusters);
  constexpr double n = analysis::WindowBootstrap::kReplicates;
  return std::sqrt(W / (W - 1) * squares / (n - 1));
}

}  // namespace

void MriBootstrap::add(const std::vector<moe::RoutingDecision>& decisions, const std::vector<int64_t>& clusters) {
  if (decisions.empty() || clusters.empty()) return;
  const int64_t n = clusters.back() - clusters.front() + 1;
  if (layers_.empty())
    for (const auto& decision : decisions)
      layers_.push_back({decision.n_experts, analysis::WindowBootstrap(static_cast<size_t>(decision.n_experts + 1))});
  n_clusters_ += n - (clusters.front() == last_cluster_ ? 1 : 0);
  last_cluster_ = clusters.back();
  // A cluster that goes on in the next batch has the same weight there.
  std::vector<analysis::WindowBootstrap::Weights> weights;
  for (int64_t c = clusters.front(); c <= clusters.back(); ++c)
    weights.push_back(analysis::WindowBootstrap::weights(/*seed=*/0, /*data=*/0, static_cast<uint64_t>(c)));
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto counts = counts_by_cluster(decisions[i], clusters, n);
    const auto row = static_cast<size_t>(layers_[i].n_experts + 1);
    for (size_t c = 0; c < weights.size(); ++c)
      layers_[i].sums.add(weights[c], std::span(counts).subspan(c * row, row));
  }
}

double MriBootstrap::Layer::mri(size_t replicate) const {
  const auto counts = sums.replicate(replicate);
  const int64_t most = *std::max_element(counts.begin(), counts.end() - 1);
  return counts.back() == 0 ? 0.0 : static_cast<double>(most) / static_cast<double>(counts.back());
}

std::optional<double> MriBootstrap::spread(const std::vector<double>& replicates) const {
  if (n_clusters_ < analysis::kLeastClusters) return std::nullopt;
  const auto n = static_cast<double>(replicates.size());
  double mean = 0, squares = 0;
  for (const double value : replicates) mean += value / n;
  for (const double value : replicates) squares += (value - mean) * (value - mean);
  return error_of_squares(squares, n_clusters_);
}

double most_mri_se() {
  const double squares = analysis::WindowBootstrap::kReplicates * 0.25;
  return error_of_squares(squares, analysis::kLeastClusters);
}

std::vector<std::optional<double>> MriBootstrap::of_layers() const {
  std::vector<std::optional<double>> out;
  for (const auto& layer : layers_) {
    std::vector<double> replicates;
    for (size_t r = 0; r < analysis::WindowBootstrap::kReplicates; ++r) replicates.push_back(layer.mri(r));
    out.push_back(spread(replicates));
  }
  return out;
}

std::optional<double> MriBootstrap::of_mean() const {
  if (layers_.empty()) return std::nullopt;
  std::vector<double> replicates(analysis::WindowBootstrap::kReplicates);
  for (size_t r = 0; r < replicates.size(); ++r)
    for (const auto& layer : layers_) replicates[r] += layer.mri(r) / static_cast<double>(layers_.size());
  return spread(replicates);
}

std::optional<double> mri_se_at_end(const Arm& arm, const std::string& data) {
  const auto* result = final_result(arm, last_phase(arm), data);
  return result != nullptr ? result->mri_se : std::nullopt;
}

}  // namespace evenkeel::train
