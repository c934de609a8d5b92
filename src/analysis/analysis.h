// Analyses of routing: what the routers did on given tokens. An analysis is one file in analysis/analyses and
// one line in analysis/registry.cpp. It observes batch after batch and keeps sums that do not grow with the
// number of tokens; in the end it gives tables. A forward pass and a trace file make the same observations.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/table.h"
#include "moe/router.h"

namespace evenkeel::analysis {

class IdTallies;  // analysis/id_tally.h

// One batch of one data set. CPU tensors, contiguous; nothing requires a gradient.
struct Observation {
  size_t data = 0;           // index into AnalysisInput::data
  at::Tensor input_ids;      // [B, S] i64
  at::Tensor target_ids;     // [B, S] i64, -1 where there is none
  at::Tensor predicted_ids;  // [B, S] i64 arg max of the logits; undefined where not known
  at::Tensor document_ids;   // [B, S] i32; tokens of different documents are no neighbours
  at::Tensor is_padding;     // [B, S] bool or undefined; padding is never counted
  // Number of the batch whose windows were routed together (Mode::train), of which this may be a part: what couples
  // them makes them one cluster of an interval. -1: each window was routed by itself.
  int64_t together = -1;
  // Number of its first window in the data set (-1: not known), and how many neighbouring windows (batches that were
  // routed together) one cluster of an interval has (block_size of analysis/cluster_mean.h); run_analyses sets both.
  int64_t first_window = -1, block = 1;
  // Number of the cluster of window `window` of the batch; -1: it is a cluster of its own.
  int64_t cluster_of(int64_t window) const {
    if (together >= 0) return together / block;
    return first_window < 0 ? -1 : (first_window + window) / block;
  }
  std::vector<moe::RoutingDecision> routing;    // one for each MoE layer, ascending; logits undefined where not known
  std::vector<moe::RoutingDecision> reference;  // of the reference model on the same tokens; empty without one
};

struct DataSet {
  std::string name;
  int64_t n_tokens = 0;  // about to be observed
};
struct LayerShape {
  int64_t layer = 0, n_experts = 0, top_k = 0;
};

// What is known before the first batch.
struct AnalysisInput {
  std::string model, reference;           // names for the tables; reference empty without one
  std::optional<int64_t> reference_step;  // optimizer step that the reference was saved after, where it is known
  std::vector<DataSet> data;
  std::vector<LayerShape> layers;
  int64_t vocab_size = 0;
  int64_t sequence_length = 0;
  std::vector<std::string> token_texts;  // [V]; empty without a tokenizer
  at::Tensor embedding;                  // [V, H] fp32 on the CPU; undefined without weights
  std::vector<int64_t> chosen_ids;       // token ids to follow one by one; may be empty
  int64_t minimum_count = 0;             // occurrences below which an id is left out; 0 = the source's own rule
  uint64_t seed = 1;                     // of permutation baselines
  // Counts by token id that several analyses read. Whoever makes several of them for the same batches sets it to
  // std::make_shared<IdTallies>(), anew for each pass, so that the counts are kept once; null: each keeps its own.
  std::shared_ptr<IdTallies> tallies;
};

struct NamedTable {
  std::string name;
  Table table;
  bool csv_only = false;  // too long for results.json: goes to csv/NAME.csv alone
};

class Analysis {
 public:
  virtual ~Analysis() = default;
  virtual void observe(const Observation& batch) = 0;
  virtual std::vector<NamedTable> tables() const = 0;
  // Why some of its tables are missing or empty ("needs the router's logits"); empty when all is there.
  virtual std::vector<std::string> notes() const { return {}; }
};

struct AnalysisKind {
  const char* name;
  const char* help;
  std::unique_ptr<Analysis> (*make)(const AnalysisInput& input);
  // Bytes that its sums take at worst for this input. Counts that an analysis asked before has stated to the same
  // input.tallies are left out (analysis/id_tally.h), so that the sum is what a pass takes.
  double (*bytes)(const AnalysisInput& input);
};
// Every registered analysis, in the order of the report.
const std::vector<AnalysisKind>& analysis_kinds();

}  // namespace evenkeel::analysis
