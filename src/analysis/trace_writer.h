// Writes a trace file while batches arrive, in memory that does not grow with them.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "analysis/trace_info.h"

namespace evenkeel::analysis {

class TraceWriter {
 public:
  // Opens a temporary file beside `path`. ConfigError when the tokens do not fit into the format's i32; MachineError
  // when the disk has too little room for the sizes that are known.
  TraceWriter(const std::filesystem::path& path, const TraceInfo& info);
  ~TraceWriter();
  // The next windows, in order. `logits` gives the logits [rows, V] f32 of tokens first .. first+rows-1 of the batch;
  // called only where the trace has them. A window that is shorter, a batch of its own, is filled up to S with padding.
  void add(const Observation& batch, const std::function<at::Tensor(int64_t first, int64_t rows)>& logits);
  // Every window must have been added. Syncs and renames; before that nothing is at `path`.
  void commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace evenkeel::analysis
