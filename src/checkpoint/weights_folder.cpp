#include "checkpoint/weights_folder.h"

#include <set>

#include "checkpoint/packed_weights.h"
#include "checkpoint/safetensors_header.h"
#include "core/errors.h"
#include "core/json.h"

namespace evenkeel::checkpoint {
namespace {

const std::string kBlocks = "_blocks", kScales = "_scales", kFp8Scales = "_scale_inv";

bool is_e8m0(at::ScalarType dtype) { return dtype == at::kByte || dtype == at::kFloat8_e8m0fnu; }
// Blocks that so many rows or columns have.
int64_t fp8_blocks(int64_t n) { return (n + kFp8Block - 1) / kFp8Block; }

}  // namespace

std::string WeightsFolder::place_of(const std::string& name) const { return where_ + ": tensor " + shown_name(name); }

WeightsFolder::WeightsFolder(const std::filesystem::path& folder) : folder_(folder), where_(folder.string()) {
  std::set<std::string> halves;  // the scales of others
  const auto names = folder_.names();
  for (const auto& name : names) {
    if (name.ends_with(kBlocks)) {
      add_mxfp4(name);
      halves.insert(name.substr(0, name.size() - kBlocks.size()) + kScales);
    } else if (folder_.find(name)->dtype == at::kFloat8_e4m3fn) {
      add_fp8(name);
      halves.insert(name + kFp8Scales);
    }
  }
  for (const auto& name : names) {
    if (name.ends_with(kBlocks) || halves.contains(name) || entries_.contains(name)) continue;
    const auto* stored = folder_.find(name);
    if (stored->begin < stored->end) entries_[name] = {stored->dtype, stored->shape};
  }
}

void WeightsFolder::add_mxfp4(const std::string& name) {
  const std::string base = name.substr(0, name.size() - kBlocks.size());
  const auto *blocks = folder_.find(name), *scales = folder_.find(base + kScales);
  require<CheckpointError>(!folder_.contains(base), place_of(name), ": got it beside ", shown_name(base),
                           "; need one of them");
  const auto& shape = blocks->shape;
  require<CheckpointError>(blocks->dtype == at::kByte && shape.size() == 4 && shape[3] == kMxfp4Block / 2,
                           place_of(name), ": got ", dtype_name(blocks->dtype), " ", Json(shape).dump(),
                           "; need U8 [experts, rows, columns / 32, 16]");
  require<CheckpointError>(scales != nullptr, place_of(name), ": got no ", shown_name(base + kScales),
                           " beside it; need its scales");
  const std::vector<int64_t> need(shape.begin(), shape.end() - 1);
  require<CheckpointError>(is_e8m0(scales->dtype) && scales->shape == need, place_of(base + kScales), ": got ",
                           dtype_name(scales->dtype), " ", Json(scales->shape).dump(), "; need U8 ", Json(need).dump(),
                           ", one for each of the blocks");
  entries_[base] = {at::kBFloat16, {shape[0], shape[2] * kMxfp4Block, shape[1]}, Packing::mxfp4};
}

void WeightsFolder::add_fp8(const std::string& name) {
  const auto *weight = folder_.find(name), *scales = folder_.find(name + kFp8Scales);
  const auto& shape = weight->shape;
  require<CheckpointError>(shape.size() == 2, place_of(name), ": got F8_E4M3 ", Json(shape).dump(),
                           "; need a matrix, or F32, BF16 or F16");
  require<CheckpointError>(scales != nullptr, place_of(name), ": got F8_E4M3 without ", shown_name(name + kFp8Scales),
                           "; need its scales, or F32, BF16 or F16");
  const std::vector<int64_t> need = {fp8_blocks(shape[0]), fp8_blocks(shape[1])};
  const bool is_known = scales->dtype == at::kFloat || is_e8m0(scales->dtype);
  require<CheckpointError>(is_known && scales->shape == need, place_of(name + kFp8Scales), ": got ",
                           dtype_name(scales->dtype), " ", Json(scales->shape).dump(), "; need F32, F8_E8M0 or U8 ",
                           Json(need).dump(), ", one for each block of 128 x 128");
  entries_[name] = {at::kBFloat16, shape, Packing::fp8};
}

const WeightsFolder::Entry* WeightsFolder::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

at::Tensor WeightsFolder::load(const std::string& name) const {
  const Entry* entry = find(name);
  if (entry == nullptr || entry->packing == Packing::none) return folder_.load(name);  // or says that it is absent
  return load_rows(name, 0, entry->shape[0]);
}

at::Tensor WeightsFolder::load_rows(const std::string& name, int64_t first, int64_t count) const {
  const Entry* entry = find(name);
  if (entry == nullptr || entry->packing == Packing::none) return folder_.load_rows(name, first, count);
  if (entry->packing == Packing::mxfp4) {
    const auto part = [&](const std::string& half) { return folder_.load_rows(name + half, first, count); };
    return decode_mxfp4(part(kBlocks), part(kScales), place_of(name)).transpose(1, 2);
  }
  const int64_t first_block = first / kFp8Block, end = first + count, begin = first_block * kFp8Block;
  const auto scales = folder_.load_rows(name + kFp8Scales, first_block, fp8_blocks(end) - first_block);
  return decode_fp8(folder_.load_rows(name, begin, end - begin), scales, place_of(name))
      .narrow(0, first - begin, count);
}

at::Tensor WeightsFolder::load_inner_rows(const std::string& name, int64_t index, int64_t first, int64_t count) const {
  const Entry* entry = find(name);
  if (entry == nullptr || entry->packing == Packing::none) return folder_.load_inner_rows(name, index, first, count);
  return load_rows(name, index, 1).squeeze(0).narrow(0, first, count);
}

}  // namespace evenkeel::checkpoint
