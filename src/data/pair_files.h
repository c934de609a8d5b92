// The .bin, .idx, .scored and .json of a pair, put in place together.
#pragma once

#include <filesystem>

#include "core/json.h"
#include "data/indexed_dataset.h"
#include "data/scored_parts.h"

namespace evenkeel::data {

// ConfigError where an --out cannot be the PREFIX of a pair: a folder, or no name at all.
void require_pair_name(const std::filesystem::path& prefix);

struct PairWriters {
  IndexedDatasetWriter& tokens;
  ScoredPartsWriter* scored = nullptr;  // of conversations, whose description has "scored"
};

// Commits what was written for `prefix`, with `description` and the record of its contents beside it; returns what
// PREFIX.json says at last.
Json put_in_place(const std::filesystem::path& prefix, const PairWriters& writers, Json description);

}  // namespace evenkeel::data
