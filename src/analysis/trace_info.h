// The trace file: what a model's routers did on given tokens, token by token (docs/analyses.md). A safetensors file
// of windows [B, S]; here is what its writer and its reader share.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "analysis/analysis.h"

namespace evenkeel::analysis {

// What is known before the first batch: the metadata and the shapes.
struct TraceInfo {
  std::string name, model;            // of the data set and of the model
  std::optional<int64_t> step;        // optimizer steps that the model was trained for, where that is known
  std::string mode = "eval";          // or "train": how the routers ran
  std::string capacity = "dropless";  // or the JSON of the model's [model.capacity]
  std::string tokenizer_sha256;       // empty without a tokenizer
  std::string tokenizer;              // path of its file where that is known
  int64_t n_windows = 0, length = 0;  // B, S
  int64_t sequence_length = 0;        // that was asked for; S is less where there are fewer tokens
  int64_t n_experts = 0, top_k = 0;   // 0 for dense models
  int64_t vocab_size = 0;
  int64_t batch_size = 1;  // windows that were routed together
  moe::Score score = moe::Score::softmax;
  std::vector<int64_t> layers;  // MoE layers, ascending
  bool exactly_k = true;        // tensors [B, S, k]; false: assignments [N, 3]
  bool has_router_logits = false, has_logits = false;
  bool is_dropless() const { return capacity == "dropless"; }
  int64_t n_places() const { return n_windows * length; }
};

inline std::string trace_tensor(int64_t layer, const std::string& name) {
  return "layers." + std::to_string(layer) + "." + name;
}

std::map<std::string, std::string> trace_metadata(const TraceInfo& info);
// The figures of the metadata; shapes and layers are left to the reader. Keys that evenkeel adds to the contract
// (vocab_size, sequence_length, batch_size, score, tokenizer, step) may be absent: 0, 0, 1, softmax, "", unknown.
// DataError "WHERE: metadata ...: got ...; need ...".
TraceInfo trace_info_from_metadata(const std::map<std::string, std::string>& metadata, const std::string& where);

// What must agree for figures of two traces to compare; what a file does not say may be anything. DataError names both
// files and values.
//   one pass    a trace and its reference: MoE layers, E, k, mode, sequence_length, tokenizer_sha256
//   one model   two data sets of an analysis: also model, step and capacity
void check_one_pass(const TraceInfo& got, const TraceInfo& need, const std::string& got_path,
                    const std::string& need_path);
void check_one_model(const TraceInfo& got, const TraceInfo& need, const std::string& got_path,
                     const std::string& need_path);

}  // namespace evenkeel::analysis
