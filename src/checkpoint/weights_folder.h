// The tensors of a Hugging Face folder under the names and in the shapes of their classes, whatever they are stored in.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"

namespace evenkeel::checkpoint {

// How a tensor is stored. Those in 4 and 8 bits are of type BF16 here, and are decoded when they are loaded.
enum class Packing {
  none,
  mxfp4,  // NAME_blocks U8 [E, out, in / 32, 16], NAME_scales [E, out, in / 32] -> NAME [E, in, out] (gpt-oss)
  fp8     // NAME F8_E4M3 [M, N], NAME_scale_inv [ceil(M / 128), ceil(N / 128)] -> NAME [M, N] (DeepSeek-V3)
};

class WeightsFolder {
 public:
  // CheckpointError for what SafetensorsFolder refuses, and for a packed tensor without its other half or with one of
  // another shape or type.
  explicit WeightsFolder(const std::filesystem::path& folder);
  struct Entry {
    at::ScalarType dtype;
    std::vector<int64_t> shape;
    Packing packing = Packing::none;
  };
  bool contains(const std::string& name) const { return entries_.contains(name); }
  const Entry* find(const std::string& name) const;  // nullptr when absent
  // Without those of no element, which say nothing.
  const std::map<std::string, Entry>& entries() const { return entries_; }
  // CheckpointError when absent, and for packed values that are no numbers.
  at::Tensor load(const std::string& name) const;
  // The same of `count` rows of the first dimension from row `first` on; what is read beside them are the rows of fp8
  // that share their scales. The range must lie inside.
  at::Tensor load_rows(const std::string& name, int64_t first, int64_t count) const;
  // The same of rows of the second dimension, of one index of the first: [count, ...]. What is packed is decoded with
  // all rows of that index.
  at::Tensor load_inner_rows(const std::string& name, int64_t index, int64_t first, int64_t count) const;

 private:
  void add_mxfp4(const std::string& name);  // of its blocks
  void add_fp8(const std::string& name);
  std::string place_of(const std::string& name) const;

  SafetensorsFolder folder_;
  std::string where_;
  std::map<std::string, Entry> entries_;
};

}  // namespace evenkeel::checkpoint
