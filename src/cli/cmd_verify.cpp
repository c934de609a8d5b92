#include <iostream>

#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "checkpoint/safetensors.h"
#include "cli/commands.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "train/metrics.h"

namespace evenkeel::cli {
namespace {

void verify_checkpoint(const fs::path& folder) {
  checkpoint::verify_folder(folder, /*deep=*/true);
  checkpoint::load_params(checkpoint::open_model(folder, std::nullopt, /*deep=*/false));
  const checkpoint::SafetensorsFile optimizer(folder / "optimizer.safetensors");
}

// The number of checkpoints that were read.
int64_t verify_run(const fs::path& run) {
  Json::parse(read_file(run / "resolved.json"), (run / "resolved.json").string());
  train::read_metrics(run / "metrics.jsonl");
  if (fs::exists(run / "results.json")) Json::parse(read_file(run / "results.json"), (run / "results.json").string());
  int64_t n = 0;
  if (!fs::is_directory(run / "checkpoints")) return n;
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints"))
    if (entry.is_directory() && entry.path().filename().string().rfind("step-", 0) == 0) folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  for (const auto& folder : folders) {
    verify_checkpoint(folder);
    ++n;
  }
  return n;
}

}  // namespace

int cmd_verify(Options& options) {
  std::string text;
  options.add("DIR", text, "run, study or checkpoint", true);
  options.example("evenkeel verify runs/first");
  if (!options.parse()) return 0;
  const fs::path path(text);
  require<DataError>(fs::is_directory(path), text, ": got no such folder; need a run, study or checkpoint");
  int64_t n = 1;
  if (fs::exists(path / "manifest.json")) {
    verify_checkpoint(path);
  } else if (fs::exists(path / "resolved.json")) {
    n = verify_run(path);
  } else if (fs::is_directory(path / "arms")) {
    n = 0;
    for (const auto& arm : fs::directory_iterator(path / "arms")) n += verify_run(arm.path());
  } else {
    fail<CheckpointError>(text, ": got neither manifest.json nor resolved.json; need a checkpoint, run or study");
  }
  std::cout << text << ": " << n << (n == 1 ? " checkpoint is" : " checkpoints are") << " whole\n";
  return 0;
}

}  // namespace evenkeel::cli
