// load.columns: the load of every layer in every step and evaluation of a run with many experts, beside its
// metrics.jsonl (docs/formats.md). The counts are exact, and take about one byte an expert.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/append_file.h"
#include "core/input_file.h"
#include "record/run_lines.h"

namespace evenkeel::record {

// MoE layers × experts up to which the lines themselves have the load.
constexpr int64_t kMostLoadsInLines = 2048;

// Appends records. Written in the order of the lines, each before the line that it belongs to.
class LoadWriter {
 public:
  // Keeps the first `kept_bytes`, which are whole records. MachineError when the disk refuses.
  LoadWriter(std::filesystem::path path, int64_t kept_bytes) : file_(std::move(path), kept_bytes) {}
  // Of a step (`data` empty) or of a held-out set. Layers have the same number of experts.
  void append(int64_t step, const std::string& data, const std::vector<LayerRouting>& routing);
  void sync() { file_.sync(); }

 private:
  AppendFile file_;
};

// Reads records in their order.
class LoadReader {
 public:
  // DataError when there is none.
  explicit LoadReader(std::filesystem::path path) : file_(std::move(path)) {}
  // Goes to the next record, which must be of this step and set: DataError otherwise. False where it is not there yet,
  // or torn.
  bool next(int64_t step, const std::string& data);
  // Sets the loads of the record that `next` came to. DataError where it is of other layers or damaged.
  void read(std::vector<LayerRouting>& routing) const;
  int64_t end_byte() const { return end_byte_; }  // of that record

 private:
  std::string where() const;
  InputFile file_;
  int64_t step_ = 0, payload_byte_ = 0, end_byte_ = 0, n_layers_ = 0, n_experts_ = 0;
};

// What a load.columns holds, by the heads of its records alone.
struct LoadFileContents {
  int64_t n_records = 0, first_step = 0, last_step = 0;
  std::vector<std::string> sets;  // held-out, in the order in which they come first
  int64_t n_layers = 0, n_experts = 0;
  int64_t record_bytes = 0, torn_bytes = 0;  // of whole records, and of one behind them that is not whole
};
// DataError where it is none, or where its records are not of one model.
LoadFileContents load_file_contents(const std::filesystem::path& path);

}  // namespace evenkeel::record
