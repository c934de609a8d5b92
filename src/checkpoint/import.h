// A Hugging Face folder as a checkpoint of evenkeel.
#pragma once

#include <filesystem>

#include "core/json.h"
#include "model/config.h"

namespace evenkeel::checkpoint {

// What the metadata of an imported model.safetensors tell, so that an export gives the same bytes (docs/formats.md).
inline constexpr const char* kForeignTypesKey = "foreign_types";
inline constexpr const char* kForeignLayoutsKey = "foreign_layouts";
inline constexpr const char* kTiedHeadKey = "tied_head";

// state.json of a checkpoint that nothing was trained in: no phases, no moments.
Json untrained_state(const model::ModelConfig& config, int64_t sequence_length);

// Writes the checkpoint whole or not at all, with one tensor in memory at a time. CheckpointError for what evenkeel
// cannot express, before anything is written.
void import_folder(const std::filesystem::path& folder, const std::filesystem::path& checkpoint);

}  // namespace evenkeel::checkpoint
