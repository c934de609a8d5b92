// Reads a trace file as the observations that it was written from. Whatever a damaged or hostile file says is checked
// before anything is allocated or indexed by it; of the file only one batch is in memory.
#pragma once

#include <filesystem>
#include <memory>

#include "analysis/runner.h"
#include "analysis/trace_info.h"
#include "checkpoint/safetensors.h"

namespace evenkeel::analysis {

class TraceFile {
 public:
  // DataError or CheckpointError, one line that starts with the path: a file that is damaged, is no trace, or whose
  // tensors do not fit each other. Values of ids are checked batch by batch, when they are read.
  explicit TraceFile(const std::filesystem::path& path);
  const TraceInfo& info() const { return info_; }
  std::vector<LayerShape> layers() const;
  // Ids of its tokens are below this: from the metadata, or the largest that occurs + 1.
  int64_t vocab_size() const { return info_.vocab_size; }
  int64_t n_tokens() const { return n_tokens_; }  // padding not counted
  bool knows_predictions() const { return file_->find("predicted_ids") != nullptr; }
  // The batches that were routed together, in their order; windows that end in padding come cut to their length, those
  // that have it elsewhere with is_padding. The source keeps the file open.
  std::unique_ptr<ObservationSource> observations() const;

 private:
  const checkpoint::SafetensorsFile::Entry* check_tensor(const std::string& name,
                                                         const std::vector<at::ScalarType>& dtypes,
                                                         const std::vector<int64_t>& shape, bool is_required) const;
  void find_layers();
  void check_layer(int64_t layer);
  void count_tokens();
  void find_vocabulary();
  std::filesystem::path path_;
  std::shared_ptr<const checkpoint::SafetensorsFile> file_;  // shared with the sources made from it
  TraceInfo info_;
  int64_t n_tokens_ = 0;
};

// Batches of `model` with the routing of `reference` beside it. DataError when the two were not made of the same
// tokens, layer shapes and batches.
std::unique_ptr<ObservationSource> with_reference(std::unique_ptr<ObservationSource> model,
                                                  std::unique_ptr<ObservationSource> reference,
                                                  const std::string& where);

}  // namespace evenkeel::analysis
