// Hugging Face model folders: config.json and safetensors of the families that evenkeel knows. A family is
// one file in checkpoint/families and one line in families/list.cpp.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/families/home.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/weights_folder.h"
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
  int64_t n_extra_layers = 0;       // for multi-token prediction, behind the last: these are passed over
  std::vector<std::string> notices;
};
// CheckpointError for an unknown model_type (naming the known ones) and for every setting that evenkeel
// cannot express, by name and value. Accepts keys as transformers 4 and 5 write them.
HfModel read_hf_config(const fs::path& folder);

// Rows first, ..., first + count - 1 of a part, as evenkeel has them; of one expert, but where `expert` is -1.
struct RowBlock {
  int64_t expert = -1, first = 0, count = 0;
};
// The rows of a part, block by block, and expert by expert where they are stacked. A block is at most 16 MiB of fp32,
// or one run of piece.order, and holds whole runs of it. What is transposed is one block for each expert: its rows are
// columns in a file, where they lie apart from each other.
void for_row_blocks(const Piece& piece, const std::function<void(const RowBlock& block)>& visit);

// The tensors of a folder, as those of evenkeel that they make up.
class HfTensors {
 public:
  // Checks names, shapes and types of all by the headers alone: CheckpointError for missing tensors, wrong shapes, and
  // tensors left over. Accepts per-expert and fused layouts, layer by layer.
  HfTensors(const fs::path& folder, const HfModel& model);
  // What no header says: a tied head that is stored too is the embedding, what a detour filled with zeros is 0.
  // CheckpointError names the tensor.
  void check_values() const;
  // In the order of the table; each of the widest type of its parts.
  const std::vector<TensorSpec>& parameters() const { return parameters_; }
  at::Tensor parameter(size_t index, at::ScalarType dtype) const;  // one block in memory beside it
  // parameter(index)[expert] of routed experts; of the others nothing is read.
  at::Tensor expert(size_t index, int64_t expert, at::ScalarType dtype) const;
  // fp32 [E] of each MoE layer in order; empty where the router has none.
  std::vector<at::Tensor> biases() const;
  // Foreign tensors whose type is not that of the tensor they are part of: name -> "BF16".
  const std::map<std::string, std::string>& foreign_types() const { return foreign_types_; }
  // Parameters whose layout here is not the one that is written first: name -> the first foreign tensor of the layout.
  const std::map<std::string, std::string>& foreign_layouts() const { return foreign_layouts_; }
  const std::vector<std::string>& skipped() const { return skipped_; }  // of layers for multi-token prediction
  std::vector<std::string> stored_in(Packing packing) const;            // in 4 or 8 bits; without those passed over
  // What is stored of a tied head: "copy" beside the embedding, "alone" in its place, "" nothing.
  std::string tied_head() const;

 private:
  void add(const HfModel& model, const OwnTensor& tensor);
  std::vector<Piece> chosen_layout(const HfModel& model, const OwnTensor& tensor, bool is_own);
  void check_rest(const HfModel& model);
  at::Tensor load_block(const Piece& piece, const RowBlock& block) const;
  void put_block(const Piece& piece, const RowBlock& block, const at::Tensor& out) const;

  WeightsFolder folder_;
  std::string where_;
  std::vector<TensorSpec> parameters_;
  std::vector<std::vector<Piece>> pieces_;  // of each parameter
  std::vector<Piece> biases_;
  std::vector<Piece> zeros_;  // that an export added
  std::map<std::string, std::string> foreign_types_, foreign_layouts_;
  std::vector<std::string> skipped_;
  bool is_tied_ = false;
};

void log_notices(const HfModel& model, const HfTensors& tensors, const fs::path& folder);
// The weights in fp32 under evenkeel's names. What a reader is to be told goes to the log.
ops::Params read_hf_params(const fs::path& folder, const HfModel& model);
// The biases of balancing routers, as HfTensors::biases gives them.
std::vector<at::Tensor> read_hf_biases(const fs::path& folder, const HfModel& model);

// A block of a part as the foreign tensor holds it, and back.
at::Tensor to_foreign(const at::Tensor& own, const Piece& piece);
at::Tensor to_own(const at::Tensor& foreign, const Piece& piece);

std::vector<std::string> family_names();

}  // namespace evenkeel::checkpoint
