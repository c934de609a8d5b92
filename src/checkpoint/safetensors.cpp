#include "checkpoint/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include "checkpoint/safetensors_header.h"
#include "core/errors.h"
#include "core/json.h"

namespace evenkeel::checkpoint {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "tensor data is copied as it lies in memory");

constexpr size_t kLengthBytes = 8;
constexpr int64_t kMaxHeaderBytes = 100'000'000;
constexpr int64_t kMaxIndexBytes = int64_t{64} << 20;
constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr size_t kBlockBytes = size_t{16} << 20;  // of a mapped file in memory at a time

MappedFile map_checkpoint_file(const fs::path& path) {
  try {
    return MappedFile(path);
  } catch (const DataError& error) {
    throw CheckpointError(error.what());
  }
}

void check_writable(const std::vector<TensorSpec>& tensors) {
  std::map<std::string, bool> seen{{"__metadata__", true}};
  for (const auto& tensor : tensors) {
    if (dtype_name(tensor.dtype) == nullptr)
      throw std::logic_error("write_safetensors: tensor " + tensor.name + " has a dtype that is not storable");
    if (!seen.emplace(tensor.name, true).second)
      throw std::logic_error("write_safetensors: name " + tensor.name + " twice");
  }
}

// The data region must be covered exactly once: sorted by offset, each tensor starts where the last ended.
void check_coverage(const fs::path& path, const std::vector<SafetensorsFile::Entry>& entries, size_t data_begin,
                    size_t file_bytes) {
  size_t expected = data_begin;
  for (const auto& entry : entries) {
    require<CheckpointError>(entry.begin == expected, path.string(), ": tensor ", shown_name(entry.name),
                             ": got data at byte ", entry.begin - data_begin, "; need ", expected - data_begin,
                             " (no overlap, no gap)");
    expected = entry.end;
  }
  require<CheckpointError>(expected == file_bytes, path.string(), ": got ", file_bytes - data_begin,
                           " bytes of data; need ", expected - data_begin, " as the header says");
}

}  // namespace

size_t TensorSpec::n_bytes() const {
  size_t out = c10::elementSize(dtype);
  for (const int64_t size : shape) out *= static_cast<size_t>(size);
  return out;
}

void write_safetensors(const fs::path& path, const std::vector<TensorSpec>& tensors,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<at::Tensor(size_t index)>& load) {
  check_writable(tensors);
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t left, size_t right) {
    return c10::elementSize(tensors[left].dtype) > c10::elementSize(tensors[right].dtype);
  });
  SafetensorsHeader header;
  header.metadata = metadata;
  size_t begin = 0;
  for (const size_t index : order) {
    const TensorSpec& tensor = tensors[index];
    header.tensors.push_back({tensor.name, tensor.dtype, tensor.shape, begin, begin + tensor.n_bytes()});
    begin += tensor.n_bytes();
  }
  const std::string text = safetensors_header_text(header);
  AtomicFile file(path);
  const uint64_t header_bytes = text.size();
  file.write(&header_bytes, sizeof header_bytes);
  file.write(text);
  for (const size_t index : order) {
    const at::Tensor plain = load(index).detach().cpu().contiguous();
    if (plain.scalar_type() != tensors[index].dtype || plain.sizes().vec() != tensors[index].shape)
      throw std::logic_error("write_safetensors: tensor " + tensors[index].name + " is not what was announced");
    const auto* data = static_cast<const char*>(plain.const_data_ptr());
    for (size_t done = 0; done < plain.nbytes(); done += kPieceBytes)
      file.write(data + done, std::min(kPieceBytes, plain.nbytes() - done));
  }
  file.commit();
}

void write_safetensors(const fs::path& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) throw std::logic_error("write_safetensors: tensor " + name + " is undefined");
    specs.push_back({name, tensor.scalar_type(), tensor.sizes().vec()});
  }
  write_safetensors(path, specs, metadata, [&](size_t index) { return tensors[index].second; });
}

SafetensorsFile::SafetensorsFile(const fs::path& path) : path_(path), file_(map_checkpoint_file(path)) {
  // 1. The length of the header, against the file and the format's limit.
  require<CheckpointError>(file_.size() >= kLengthBytes, path.string(), ": got ", file_.size(),
                           " bytes; need the 8 bytes of a safetensors header length");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file_.data(), kLengthBytes);
  const uint64_t most = std::min<uint64_t>(file_.size() - kLengthBytes, kMaxHeaderBytes);
  require<CheckpointError>(header_bytes >= 2 && header_bytes <= most, path.string(), ": got header length ",
                           header_bytes, "; need 2..", most, " in a file of ", file_.size(), " bytes");

  // 2. The header itself; offsets in it count from its end.
  const size_t data_begin = kLengthBytes + static_cast<size_t>(header_bytes);
  SafetensorsHeader header = parse_safetensors_header(file_.text().substr(kLengthBytes, data_begin - kLengthBytes),
                                                      path.string(), file_.size() - data_begin);
  metadata_ = std::move(header.metadata);
  for (auto& tensor : header.tensors)
    entries_.push_back({std::move(tensor.name), tensor.dtype, std::move(tensor.shape), data_begin + tensor.begin,
                        data_begin + tensor.end});
  std::sort(entries_.begin(), entries_.end(), [](const Entry& left, const Entry& right) {
    return std::pair(left.begin, left.end) < std::pair(right.begin, right.end);
  });
  check_coverage(path_, entries_, data_begin, file_.size());

  // 3. Names are unique.
  for (size_t i = 0; i < entries_.size(); ++i)
    require<CheckpointError>(index_of_.emplace(entries_[i].name, i).second, path.string(), ": got tensor ",
                             shown_name(entries_[i].name), " twice; need unique names");
}

const SafetensorsFile::Entry* SafetensorsFile::find(const std::string& name) const {
  const auto found = index_of_.find(name);
  return found == index_of_.end() ? nullptr : &entries_[found->second];
}

const SafetensorsFile::Entry& SafetensorsFile::entry_of(const std::string& name) const {
  const Entry* entry = find(name);
  require<CheckpointError>(entry != nullptr, path_.string(), ": got no tensor ", shown_name(name), "; need it");
  return *entry;
}

// The bytes from `begin` on as a tensor of this shape. Block by block, so that what was copied does not stay mapped:
// else the tensor would be in memory twice.
at::Tensor SafetensorsFile::copy(const Entry& entry, const std::vector<int64_t>& shape, size_t begin) const {
  at::Tensor out = at::empty(shape, at::TensorOptions().dtype(entry.dtype).device(at::kCPU));
  const std::byte* data = file_.data() + begin;
  auto* const place = static_cast<std::byte*>(out.mutable_data_ptr());
  const size_t n_bytes = out.nbytes();
  for (size_t done = 0; done < n_bytes; done += kBlockBytes) {
    const size_t end = std::min(done + kBlockBytes, n_bytes);
    std::memcpy(place + done, data + done, end - done);
    file_.release(begin + done, begin + end);
  }
  file_.require_whole();
  if (entry.dtype == at::kBool) {
    const auto* wrong = std::find_if(place, place + n_bytes, [](std::byte value) { return value > std::byte{1}; });
    require<CheckpointError>(wrong == place + n_bytes, path_.string(), ": tensor ", shown_name(entry.name),
                             ": got a boolean other than 0 and 1; need 0 or 1");
  }
  return out;
}

at::Tensor SafetensorsFile::load(const std::string& name) const {
  const Entry& entry = entry_of(name);
  return copy(entry, entry.shape, entry.begin);
}

at::Tensor SafetensorsFile::load_rows(const std::string& name, int64_t first, int64_t count) const {
  const Entry& entry = entry_of(name);
  if (entry.shape.empty() || first < 0 || count < 0 || first + count > entry.shape[0])
    throw std::logic_error("rows outside tensor " + name);
  std::vector<int64_t> shape = entry.shape;
  const size_t row_bytes = entry.shape[0] == 0 ? 0 : (entry.end - entry.begin) / static_cast<size_t>(entry.shape[0]);
  shape[0] = count;
  return copy(entry, shape, entry.begin + static_cast<size_t>(first) * row_bytes);
}

at::Tensor SafetensorsFile::load_inner_rows(const std::string& name, int64_t index, int64_t first,
                                            int64_t count) const {
  const Entry& entry = entry_of(name);
  const auto& whole = entry.shape;
  if (whole.size() < 2 || index < 0 || index >= whole[0] || first < 0 || count < 0 || first + count > whole[1])
    throw std::logic_error("rows outside tensor " + name);
  std::vector<int64_t> shape(whole.begin() + 1, whole.end());
  const size_t n_rows = static_cast<size_t>(whole[0]) * static_cast<size_t>(whole[1]);
  const size_t row_bytes = n_rows == 0 ? 0 : (entry.end - entry.begin) / n_rows;
  shape[0] = count;
  return copy(entry, shape, entry.begin + static_cast<size_t>(index * whole[1] + first) * row_bytes);
}

SafetensorsFolder::SafetensorsFolder(const fs::path& folder) : folder_(folder) {
  const fs::path single = folder / "model.safetensors";
  const fs::path index = folder / "model.safetensors.index.json";
  std::error_code ignored;
  require<CheckpointError>(fs::is_directory(folder, ignored), folder.string(),
                           ": got no such folder; need a folder with ", single.filename().string());
  if (!fs::exists(single, ignored) && fs::exists(index, ignored)) {
    open_shards(index);
    return;
  }
  files_.emplace_back(single);
  for (const auto& entry : files_[0].entries()) file_of_[entry.name] = 0;
}

void SafetensorsFolder::open_shards(const fs::path& index) {
  Json content;
  try {
    content = Json::parse(read_file(index, kMaxIndexBytes), index.string());
  } catch (const DataError& error) {
    throw CheckpointError(error.what());
  }
  const Json* weight_map = content.find("weight_map");
  require<CheckpointError>(weight_map != nullptr && weight_map->is_object(), index.string(), ": weight_map: got ",
                           weight_map == nullptr ? "nothing" : weight_map->kind(), "; need an object");
  std::map<std::string, size_t> shard_of;
  for (const auto& [name, shard] : weight_map->as_object()) {
    const std::string where = index.string() + ": weight_map: tensor " + shown_name(name);
    require<CheckpointError>(shard.is_string(), where, ": got ", shard.kind(), "; need a file name");
    const std::string& file = shard.as_string();
    require<CheckpointError>(is_plain_file_name(file), where, ": got file ", shown_name(file),
                             "; need a name in the same folder, without '/' and '..'");
    const auto [place, is_new] = shard_of.emplace(file, files_.size());
    if (is_new) files_.emplace_back(folder_ / file);
    require<CheckpointError>(files_[place->second].find(name) != nullptr, where, ": got no such tensor in ",
                             shown_name(file), "; need it there");
    require<CheckpointError>(file_of_.emplace(name, place->second).second, where, ": got it twice; need it once");
  }
  for (const auto& [file, place] : shard_of)
    for (const auto& entry : files_[place].entries()) {
      const auto found = file_of_.find(entry.name);
      const std::string where = (folder_ / file).string() + ": tensor " + shown_name(entry.name);
      require<CheckpointError>(found != file_of_.end(), where, ": got it here and not in ", index.filename().string(),
                               "; need the index to name it");
      require<CheckpointError>(found->second == place, where, ": got it here and in another shard, which ",
                               index.filename().string(), " names; need it once");
    }
}

const SafetensorsFile& SafetensorsFolder::file_with(const std::string& name) const {
  const auto found = file_of_.find(name);
  require<CheckpointError>(found != file_of_.end(), folder_.string(), ": got no tensor ", shown_name(name),
                           "; need it");
  return files_[found->second];
}

at::Tensor SafetensorsFolder::load(const std::string& name) const { return file_with(name).load(name); }

at::Tensor SafetensorsFolder::load_rows(const std::string& name, int64_t first, int64_t count) const {
  return file_with(name).load_rows(name, first, count);
}

at::Tensor SafetensorsFolder::load_inner_rows(const std::string& name, int64_t index, int64_t first,
                                              int64_t count) const {
  return file_with(name).load_inner_rows(name, index, first, count);
}

const SafetensorsFile::Entry* SafetensorsFolder::find(const std::string& name) const {
  const auto found = file_of_.find(name);
  return found == file_of_.end() ? nullptr : files_[found->second].find(name);
}

std::vector<std::string> SafetensorsFolder::names() const {
  std::vector<std::string> out;
  for (const auto& [name, file] : file_of_) out.push_back(name);
  return out;
}

}  // namespace evenkeel::checkpoint
