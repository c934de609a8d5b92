// What a model is run over: windows of token ids in a fixed order, of a data set or of a list of sequences.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "data/window_reader.h"

namespace evenkeel::analysis {

class Windows {
 public:
  virtual ~Windows() = default;
  virtual int64_t n_windows() const = 0;
  virtual int64_t length() const = 0;    // S; only the last window may be shorter
  virtual int64_t n_tokens() const = 0;  // input tokens of all windows
  // At most `batch_size` windows of equal length: tokens, targets (-1 = none) and document_ids, the places of the
  // documents in the data set, [B, S]. An empty batch (tokens.size(0) == 0) at the end.
  virtual data::Batch next(int64_t batch_size) = 0;
};

// The windows of an evaluation (data::WindowReader): window j feeds tokens jS .. jS+S-1, whose targets are
// jS+1 .. jS+S. At most max_tokens tokens (0 = all). The data set outlives it. DataError when it has fewer than 2
// tokens.
std::unique_ptr<Windows> windows_of(const data::IndexedDataset& dataset, int64_t sequence_length, int64_t max_tokens);

// Each sequence is a window and a document of its own; its last token has no target. sequences [B, S] i64.
std::unique_ptr<Windows> windows_of(const at::Tensor& sequences);

// A JSON array of arrays of token ids, all of one length: [B, S] i64. DataError names the file, the sequence and the
// offending value.
at::Tensor read_sequences(const std::filesystem::path& path, int64_t vocab_size);

}  // namespace evenkeel::analysis
