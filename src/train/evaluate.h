// Evaluation on held-out sets: loss and routing in evaluation mode, and router saturation between two
// checkpoints on the same tokens.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analysis/cluster_mean.h"
#include "analysis/routing_stats.h"
#include "data/sequence_reader.h"
#include "data/window_reader.h"
#include "model/batch_passes.h"

namespace evenkeel::train {

struct EvalOptions {
  std::string name = {};  // of the set, for messages
  int64_t sequence_length = 0;
  int64_t batch_size = 16;  // sequences a forward pass; does not change results in Mode::eval
  int64_t max_tokens = 0;   // 0 = all
  bool separate_documents = false;
  std::shared_ptr<const data::Objective> objective = nullptr;  // none: windows of causal text
  moe::Mode mode = moe::Mode::eval;
  uint64_t seed = 0;  // of random routers in Mode::train, with the number of the batch mixed in
  int64_t step = 0;   // of the checkpoint, for messages
  // Called after each batch with the target tokens scored so far; may be empty.
  std::function<void(int64_t n_tokens)> progress = {};
};

struct EvalResult {
  double loss = 0;  // nats a target token
  int64_t n_tokens = 0;
  std::string objective = {};  // that it is scored by; "": causal. Losses of different ones do not compare.
  // The loss of each block of the text: analysis::block_size neighbouring windows (sequences of another objective), or
  // of causal text with separate_documents documents (a token counts for that of its input), or in Mode::train batches,
  // since a capacity or a router that looks at all of a batch couples its windows. `block_size`: how many a block has.
  analysis::ClusterMeans blocks;
  int64_t block_size = 1;
  std::optional<double> loss_se() const { return analysis::standard_error(blocks); }
  std::optional<double> bits_per_byte;  // of causal text, where PREFIX.json states the bytes
  std::vector<analysis::RoutingCounts> routing;
  // Standard errors of the MRI by the same blocks: of the mean over layers, and of each layer as in
  // `routing`.
  std::optional<double> mri_se;
  std::vector<std::optional<double>> layer_mri_se;
};
// As it stands in a line of metrics.jsonl.
record::SetResult set_result(const EvalResult& result);

// NumericsError naming the set, the step and, where it shows in a router's logits, the layer, when a loss is not
// finite. DataError for a set of which nothing is scored, and as of Objective::check_set.
EvalResult evaluate(const model::Transformer& model, const model::Snapshot& values, const data::IndexedDataset& dataset,
                    const EvalOptions& options);

// Of one model at two steps.
struct BeforeAndAfter {
  model::Snapshot before, after;
};
// For k = 1, the first choice, and k = top_k, all choices (analysis::SaturationCounts); which steps they are between is
// left open. Empty for dense models.
std::vector<record::LayerSaturation> evaluate_saturation(const model::Transformer& model, const BeforeAndAfter& values,
                                                         const data::IndexedDataset& dataset,
                                                         const EvalOptions& options);

}  // namespace evenkeel::train
