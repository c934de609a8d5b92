// Hugging Face model folders: config.json and safetensors of the families that evenkeel knows. A family is
// one file in checkpoint/families and one line in families/list.cpp.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/families/home.h"
#include "checkpoint/safetensors.h"
#include "model/config.h"
#include "ops/params.h"

namespace evenkeel::checkpoint {

namespace fs = std::filesystem;

bool is_hf_folder(const fs::path& folder);  // has a config.json with a model_type

// What an export writes beside config.json: the model in evenkeel's terms, and which detours lead to the folder's.
inline constexpr const char* kExportName = "evenkeel.json";
inline constexpr const char* kExportFormat = "evenkeel.export.v1";

struct HfModel {
  std::string family;  // "llama", "olmoe"
  model::ModelConfig config;
  int64_t max_sequence_length = 0;  // max_position_embeddings
  Home home;                        // with the detours that evenkeel.json tells of, which are undone
  std::vector<std::string> notices;
};
// CheckpointError for an unknown model_type (naming the known ones) and for every setting that evenkeel
// cannot express, by name and value. Accepts keys as transformers 4 and 5 write them.
HfModel read_hf_config(const fs::path& folder);

// The tensors of a folder, as those of evenkeel that they make up.
class HfTensors {
 public:
  // Checks names, shapes and types of all by the headers alone: CheckpointError for missing tensors, wrong shapes, and
  // tensors left over. Accepts per-expert and fused layouts, layer by layer.
  HfTensors(const fs::path& folder, const HfModel& model);
  // The parameters in the order of the table, then the biases of routers. `dtype`: the widest of the parts.
  const std::vector<TensorSpec>& tensors() const { return specs_; }
  at::Tensor assemble(size_t index, at::ScalarType dtype) const;  // one part in memory at a time
  // Foreign tensors whose type is not that of the tensor they are part of: name -> "BF16".
  const std::map<std::string, std::string>& foreign_types() const { return foreign_types_; }
  const std::vector<std::string>& skipped() const { return skipped_; }  // of layers for multi-token prediction
  bool has_tied_copy() const {
    return is_tied_ && folder_.contains(tied_head_name()) && pieces_[0][0].name != tied_head_name();
  }

 private:
  void choose_layout(const std::string& where, const HfModel& model, const OwnTensor& tensor, bool is_own);
  void check_rest(const std::string& where, const HfModel& model);
  void check_tied_head(const std::string& where) const;

  SafetensorsFolder folder_;
  std::string where_;
  std::vector<TensorSpec> specs_;
  std::vector<std::vector<Piece>> pieces_;
  std::vector<Piece> zeros_;  // that an export added
  std::map<std::string, std::string> foreign_types_;
  std::vector<std::string> skipped_;
  bool is_tied_ = false;
};

void log_notices(const HfModel& model, const HfTensors& tensors, const fs::path& folder);
// The weights in fp32 under evenkeel's names. What a reader is to be told goes to the log.
ops::Params read_hf_params(const fs::path& folder, const HfModel& model);
// The biases of balancing routers in a folder, by name: "layers.3.router_state.bias".
std::map<std::string, at::Tensor> read_hf_biases(const fs::path& folder, const HfModel& model);

// A part of a tensor of evenkeel as the foreign tensor holds it, and back.
at::Tensor to_foreign(const at::Tensor& own, const Piece& piece);
at::Tensor to_own(const at::Tensor& foreign, const Piece& piece);

std::vector<std::string> family_names();

}  // namespace evenkeel::checkpoint
