// What a MODEL argument stands for: an evenkeel checkpoint, a run (its last checkpoint), or a Hugging Face
// folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "checkpoint/safetensors.h"
#include "core/json.h"
#include "model/config.h"
#include "ops/params.h"

namespace evenkeel::checkpoint {

namespace fs = std::filesystem;

struct ModelSource {
  fs::path folder;   // the checkpoint folder or Hugging Face folder itself
  std::string kind;  // "checkpoint" or the Hugging Face family
  bool is_checkpoint() const { return kind == "checkpoint"; }
  model::ModelConfig config;
  int64_t sequence_length = 0;      // that it was trained with; for Hugging Face min(max_position_embeddings, 2048)
  int64_t longest_sequence = 0;     // that it is known to be made for: of a folder its max_position_embeddings
  bool separate_documents = false;  // attention and positions stop at document borders, as it was trained
  Json state;                       // state.json of a checkpoint; null for Hugging Face
  // A checkpoint of training: with moments, cursors and phases; not one that was imported or upcycled.
  bool has_history = false;
};

// In the state.json of a checkpoint that `upcycle` made: what of, and all options.
inline constexpr const char* kUpcycledKey = "upcycled";

// The checkpoint folder of a path: itself, or for a run the whole checkpoint of `step` (nullopt = the last).
// CheckpointError names the path and what is there.
fs::path find_checkpoint(const fs::path& path, std::optional<int64_t> step);

// Reads configuration only. Verifies the manifest's names and sizes (deep: hashes too).
ModelSource open_model(const fs::path& path, std::optional<int64_t> step = std::nullopt, bool deep = true);

// SHA-256 of each tokenizer that the model is known to be trained with: of the sets that its phases drew from, or of
// the tokenizer.json, else the tokenizer.model, in a Hugging Face folder. Empty when nothing says it.
std::vector<std::string> tokenizers_of(const ModelSource& source);

// What a folder holds, whatever its place: {"hash": …, "names": …, "files": stamps}. Of a checkpoint the hash is that
// of its manifest, which has those of all files. Of a Hugging Face folder it is core's content_hash of config.json and
// of each .safetensors file in the order of names; it is taken from `known`, a record of an earlier look, where that
// has the names and stamps of now.
Json folder_record(const fs::path& folder, const Json* known = nullptr);

// The same as earlier versions recorded it: a text, of a Hugging Face folder a hash of config.json and of names and
// sizes alone.
std::string folder_identity_v1(const fs::path& folder);

ops::Params load_params(const ModelSource& source);  // fp32, CPU, in the order of the parameter table
// The tensors of a model.safetensors in the order of the table of `config`. CheckpointError, by the header alone, for
// names and shapes that are not those of the table.
std::vector<TensorSpec> checked_tensors(const SafetensorsFile& tensors, const fs::path& file,
                                        const model::ModelConfig& config);
// model.safetensors of a checkpoint, checked against the table of `config`.
ops::Params read_params(const fs::path& file, const model::ModelConfig& config);

}  // namespace evenkeel::checkpoint
