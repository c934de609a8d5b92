// What `evenkeel inspect` says of data sets, runs, results and other files; each prints on stdout.
#pragma once

#include <filesystem>

namespace evenkeel::cli {

void inspect_dataset(const std::filesystem::path& prefix);
void inspect_run(const std::filesystem::path& run);           // its phases and last losses; not its checkpoints
void inspect_loads(const std::filesystem::path& path);        // a load.columns
void inspect_metrics(const std::filesystem::path& path);      // a metrics.jsonl
void inspect_loads(const std::filesystem::path& path);        // a load.columns
void inspect_results(const std::filesystem::path& path);      // a results.json
void inspect_json(const std::filesystem::path& path);         // whatever JSON it is
void inspect_safetensors(const std::filesystem::path& path);  // a trace is one too
void inspect_recipe(const std::filesystem::path& path);

}  // namespace evenkeel::cli
