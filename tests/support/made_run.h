// Hand-made run folders: resolved.json and metrics.jsonl whose figures a test can do by hand.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/file_io.h"
#include "core/json.h"
#include "record/run_lines.h"
#include "support/made_lines.h"
#include "support/tiny_run.h"

namespace evenkeel::testing {

inline void write_made_run(const std::filesystem::path& run, const train::RunConfig& config,
                           const std::vector<record::RunLine>& lines) {
  std::filesystem::create_directories(run);
  write_file_atomically(run / "resolved.json", train::run_config_json(config).dump(1));
  write_file_atomically(run / "metrics.jsonl", text_of(lines));
}

}  // namespace evenkeel::testing
