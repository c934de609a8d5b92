// How sure the MRI of an evaluation is: by a bootstrap of the blocks of the text by which losses have their errors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analysis/window_bootstrap.h"
#include "moe/router.h"
#include "train/arm.h"

namespace evenkeel::train {

class MriBootstrap {
 public:
  // The decisions of a batch, one a MoE layer; `clusters`: of each of its T tokens the block of the text, ascending
  // from batch to batch. Padding is left out.
  void add(const std::vector<moe::RoutingDecision>& decisions, const std::vector<int64_t>& clusters);
  // Standard errors: of each layer's MRI, and of the mean over layers. nullopt below analysis::kLeastClusters clusters,
  // and for dense models.
  std::vector<std::optional<double>> of_layers() const;
  std::optional<double> of_mean() const;

 private:
  struct Layer {
    int64_t n_experts = 0;
    analysis::WindowBootstrap sums;  // of [E + 1] counts: each expert's tokens, then all tokens
    double mri(size_t replicate) const;
  };
  std::optional<double> spread(const std::vector<double>& replicates) const;
  std::vector<Layer> layers_;
  int64_t n_clusters_ = 0, last_cluster_ = -1;
};

// No standard error of MriBootstrap is larger: its replicates lie within 0 and 1, so that half of them at each end vary
// the most.
double most_mri_se();

// Standard error of the MRI, mean over layers, on a held-out set at the end of an arm's last phase. nullopt where that
// was not evaluated, and where the evaluation has none.
std::optional<double> mri_se_at_end(const Arm& arm, const std::string& data);

}  // namespace evenkeel::train
