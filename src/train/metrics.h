// The files that a run leaves while it trains: metrics.jsonl and TensorBoard events (docs/formats.md).
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/json.h"

namespace evenkeel::train {

// Appends whole lines. After a resume no step stands twice: lines beyond the checkpoint are cut first.
class MetricsFile {
 public:
  // Keeps the lines of `path` up to `last_step` (0: starts empty). A torn last line goes too. DataError when they do not
  // reach `last_step`: the checkpoint of that step relies on them.
  MetricsFile(const std::filesystem::path& path, int64_t last_step);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;
  // NumericsError, and nothing is written, for a line with a number that is not finite: what stands here can be read back.
  void write(const Json& line);
  // Whether a line of the step that was written last, or of `last_step` of a resumed run, has the key.
  bool has(const std::string& key) const { return keys_.contains(key); }
  void sync();  // before a checkpoint that relies on these lines

 private:
  void remember(const Json& line);
  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t step_ = 0;
  std::set<std::string> keys_;  // of the lines of step_
};

// TensorBoard scalars: records with masked CRC-32C around Event messages.
class TensorBoardFile {
 public:
  explicit TensorBoardFile(const std::filesystem::path& folder, int64_t first_step);
  ~TensorBoardFile();
  TensorBoardFile(const TensorBoardFile&) = delete;
  TensorBoardFile& operator=(const TensorBoardFile&) = delete;
  void scalar(const std::string& tag, double value, int64_t step);

 private:
  void record(const std::string& event);
  std::FILE* file_ = nullptr;
};
uint32_t crc32c(std::string_view bytes);

}  // namespace evenkeel::train
