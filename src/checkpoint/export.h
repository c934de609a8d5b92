// A checkpoint of evenkeel as a Hugging Face folder that transformers loads unchanged.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <c10/core/ScalarType.h>

namespace evenkeel::checkpoint {

struct ExportOptions {
  std::string family = {};                   // "" = that of the origin, else the first that can hold the model
  std::optional<at::ScalarType> dtype = {};  // of the weights; nothing: as they are stored
  int64_t shard_bytes = 5'000'000'000;       // most of a file
};
struct Exported {
  std::string family;
  std::vector<std::string> notices;  // detours taken, what only training uses, what is missing
  int64_t n_tensors = 0, n_files = 0;
};
// Of a checkpoint or the last of a run. Everything is decided before anything is written: CheckpointError names what no
// class can express. The folder is there whole or not at all.
Exported export_model(const std::filesystem::path& model, const std::filesystem::path& folder,
                      const ExportOptions& options = {});

}  // namespace evenkeel::checkpoint
