// The TensorBoard events that a run leaves while it trains (docs/formats.md).
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

namespace evenkeel::train {

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
