// The safetensors format: u64 header length, JSON header, raw little-endian data. Reading maps the file
// and checks the header completely before any tensor is made; hostile headers cost no memory.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/file_io.h"

namespace evenkeel::checkpoint {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Writes the tensors (contiguous CPU copies are made one at a time), atomically: wider dtypes first, so
// that each tensor is aligned, and in the order given within a width. The bytes depend on names, dtypes,
// shapes, data and metadata only. Dtypes: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL
// F8_E4M3 F8_E8M0.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata);

// The same of tensors that need not be in memory together: `load` gives the i-th when it is its turn.
struct TensorSpec {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  size_t n_bytes() const;
};
void write_safetensors(const std::filesystem::path& path, const std::vector<TensorSpec>& tensors,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<at::Tensor(size_t index)>& load);

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);  // CheckpointError names path and defect
  struct Entry {
    std::string name;
    at::ScalarType dtype;
    std::vector<int64_t> shape;
    size_t begin = 0, end = 0;  // bytes from the start of the file
  };
  const std::vector<Entry>& entries() const { return entries_; }  // in the order of their data
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const Entry* find(const std::string& name) const;  // nullptr when absent
  // A copy in memory of its own, on the CPU, in the stored dtype; what was read does not stay mapped beside it.
  // CheckpointError when absent.
  at::Tensor load(const std::string& name) const;
  // The same of `count` rows of the first dimension from row `first` on. The range must lie inside.
  at::Tensor load_rows(const std::string& name, int64_t first, int64_t count) const;
  // The same of rows of the second dimension, of one index of the first: [count, ...].
  at::Tensor load_inner_rows(const std::string& name, int64_t index, int64_t first, int64_t count) const;

 private:
  const Entry& entry_of(const std::string& name) const;
  at::Tensor copy(const Entry& entry, const std::vector<int64_t>& shape, size_t begin) const;
  std::filesystem::path path_;
  MappedFile file_;
  std::vector<Entry> entries_;
  std::map<std::string, size_t> index_of_;
  std::map<std::string, std::string> metadata_;
};

// model.safetensors, or the shards that model.safetensors.index.json names, in `folder`.
class SafetensorsFolder {
 public:
  explicit SafetensorsFolder(const std::filesystem::path& folder);
  bool contains(const std::string& name) const { return file_of_.contains(name); }
  // As SafetensorsFile's; CheckpointError when absent.
  at::Tensor load(const std::string& name) const;
  at::Tensor load_rows(const std::string& name, int64_t first, int64_t count) const;
  at::Tensor load_inner_rows(const std::string& name, int64_t index, int64_t first, int64_t count) const;
  const SafetensorsFile::Entry* find(const std::string& name) const;  // nullptr when absent
  std::vector<std::string> names() const;                             // sorted

 private:
  const SafetensorsFile& file_with(const std::string& name) const;  // CheckpointError when in none
  void open_shards(const std::filesystem::path& index);
  std::filesystem::path folder_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t> file_of_;
};

}  // namespace evenkeel::checkpoint
