// Hugging Face model folders: config.json and safetensors of the families that evenkeel knows. A family is
// one file in checkpoint/families and one line in families.cpp.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/config.h"
#include "ops/params.h"

namespace evenkeel::checkpoint {

namespace fs = std::filesystem;

bool is_hf_folder(const fs::path& folder);  // has a config.json with a model_type

struct HfModel {
  std::string family;  // "llama", "olmoe"
  model::ModelConfig config;
  int64_t max_sequence_length = 0;  // max_position_embeddings
};
// CheckpointError for an unknown model_type (naming the known ones) and for every setting that evenkeel
// cannot express, by name and value. Accepts keys as transformers 4 and 5 write them.
HfModel read_hf_config(const fs::path& folder);
// The weights in fp32 under evenkeel's names. CheckpointError for missing tensors, wrong shapes, and
// tensors left over. Accepts per-expert and fused layouts.
ops::Params read_hf_params(const fs::path& folder, const HfModel& model);

std::vector<std::string> family_names();

}  // namespace evenkeel::checkpoint
