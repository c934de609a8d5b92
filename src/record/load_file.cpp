#include "record/load_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>

#include <zstd.h>

#include "core/errors.h"
#include "core/output.h"

namespace evenkeel::record {
namespace {

// A record: this head, the name of the set, and a zstd frame (with its checksum) of layers × experts counts.
// Little-endian.
struct Head {
  std::array<char, 8> magic;
  int64_t step;
  uint32_t name_bytes, frame_bytes, n_layers, n_experts;
};
static_assert(sizeof(Head) == 32);
std::array<char, 8> magic() {
  std::array<char, 8> out{};
  static_assert(kLoadsMark.size() == out.size());
  std::copy(kLoadsMark.begin(), kLoadsMark.end(), out.begin());
  return out;
}

// Byte i of every count stands together: the high ones are all zero, and the low ones compress as what they are.
std::string planes_of(const std::vector<uint32_t>& counts) {
  std::string out(counts.size() * 4, '\0');
  for (size_t plane = 0; plane < 4; ++plane)
    for (size_t i = 0; i < counts.size(); ++i)
      out[plane * counts.size() + i] = static_cast<char>(counts[i] >> (8 * plane) & 0xff);
  return out;
}
std::vector<uint32_t> counts_of(const std::string& planes) {
  std::vector<uint32_t> out(planes.size() / 4);
  for (size_t plane = 0; plane < 4; ++plane)
    for (size_t i = 0; i < out.size(); ++i)
      out[i] |= static_cast<uint32_t>(static_cast<unsigned char>(planes[plane * out.size() + i])) << (8 * plane);
  return out;
}

std::string compressed(const std::string& text) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, 1);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const size_t n = ZSTD_compress2(context.get(), out.data(), out.size(), text.data(), text.size());
  if (ZSTD_isError(n)) throw std::logic_error(ZSTD_getErrorName(n));
  out.resize(n);
  return out;
}

}  // namespace

void LoadWriter::append(int64_t step, const std::string& data, const std::vector<LayerRouting>& routing) {
  if (routing.empty()) return;
  const size_t n_experts = routing[0].load.size();
  std::vector<uint32_t> counts;
  for (const auto& layer : routing)
    for (const double share : layer.load)
      counts.push_back(static_cast<uint32_t>(std::llround(share * static_cast<double>(layer.n_assignments))));
  const std::string frame = compressed(planes_of(counts));
  const Head head{magic(),
                  step,
                  static_cast<uint32_t>(data.size()),
                  static_cast<uint32_t>(frame.size()),
                  static_cast<uint32_t>(routing.size()),
                  static_cast<uint32_t>(n_experts)};
  std::string record(sizeof head, '\0');
  std::memcpy(record.data(), &head, sizeof head);
  file_.append(record + data + frame);
}

std::string LoadReader::where() const { return file_.path().string() + ", step " + std::to_string(step_); }

bool LoadReader::next(int64_t step, const std::string& data) {
  Head head{};
  if (!file_.read(end_byte_, &head, sizeof head)) return false;
  std::string name(data.size(), '\0');
  const bool is_it = head.magic == magic() && head.step == step && head.name_bytes == data.size();
  if (is_it && !file_.read(end_byte_ + static_cast<int64_t>(sizeof head), name.data(), name.size())) return false;
  require<DataError>(is_it && name == data, file_.path().string(), ": got another record at byte ", end_byte_,
                     "; need the loads of step ", step, data.empty() ? "" : " on '" + data + "'");
  const int64_t payload = end_byte_ + static_cast<int64_t>(sizeof head + name.size()), end = payload + head.frame_bytes;
  if (end > file_.size_bytes()) return false;
  step_ = step;
  payload_byte_ = payload;
  end_byte_ = end;
  n_layers_ = head.n_layers;
  n_experts_ = head.n_experts;
  return true;
}

void LoadReader::read(std::vector<LayerRouting>& routing) const {
  const std::string place = where();
  require<DataError>(
      n_layers_ == static_cast<int64_t>(routing.size()) && n_experts_ > 0 && n_experts_ < (INT64_C(1) << 24), place,
      ": got loads of ", n_layers_, " layers of ", n_experts_, " experts; need those of ", routing.size(), " layers");
  std::string frame(static_cast<size_t>(end_byte_ - payload_byte_), '\0'),
      planes(static_cast<size_t>(n_layers_ * n_experts_ * 4), '\0');
  require<MachineError>(file_.read(payload_byte_, frame.data(), frame.size()), place,
                        ": got a file that got shorter; need it whole");
  const size_t n = ZSTD_decompress(planes.data(), planes.size(), frame.data(), frame.size());
  require<DataError>(!ZSTD_isError(n) && n == planes.size(), place, ": got a damaged record (",
                     ZSTD_isError(n) ? ZSTD_getErrorName(n) : "too short", "); need it as it was written");
  const auto counts = counts_of(planes);
  for (size_t i = 0; i < routing.size(); ++i) {
    const auto begin = counts.begin() + static_cast<std::ptrdiff_t>(i) * n_experts_;
    const int64_t total = std::accumulate(begin, begin + n_experts_, int64_t{0});
    routing[i].n_assignments = total;
    routing[i].load.clear();
    for (auto count = begin; count != begin + n_experts_; ++count)
      routing[i].load.push_back(total > 0 ? static_cast<double>(*count) / static_cast<double>(total) : 0.0);
  }
}

LoadFileContents load_file_contents(const std::filesystem::path& path) {
  const InputFile file(path);
  const int64_t size = file.size_bytes();
  constexpr auto kHeadBytes = static_cast<int64_t>(sizeof(Head));
  LoadFileContents out;
  for (Head head{}; file.read(out.record_bytes, &head, sizeof head);) {
    const std::string place = join_parts(path.string(), ": got ", "the record at byte ", out.record_bytes);
    require<DataError>(head.magic == magic() && head.step >= 0, place, " without its mark; need the loads of a run");
    const int64_t frame = out.record_bytes + kHeadBytes + head.name_bytes, end = frame + head.frame_bytes;
    if (end > size) break;
    if (out.n_records == 0) {
      out.first_step = head.step;
      out.n_layers = head.n_layers;
      out.n_experts = head.n_experts;
    }
    require<DataError>(head.n_layers == out.n_layers && head.n_experts == out.n_experts && head.step >= out.last_step,
                       place, " of step ", head.step, " with ", head.n_layers, " layers of ", head.n_experts,
                       " experts; need steps in order, and layers and experts as in the records before");
    std::string name(head.name_bytes, '\0');
    file.read(out.record_bytes + kHeadBytes, name.data(), name.size());
    if (!name.empty() && std::find(out.sets.begin(), out.sets.end(), name) == out.sets.end()) out.sets.push_back(name);
    ++out.n_records;
    out.last_step = head.step;
    out.record_bytes = end;
  }
  out.torn_bytes = size - out.record_bytes;
  require<DataError>(out.n_records > 0 || size == 0, path.string(), ": got ", size,
                     " bytes without one whole record; need the loads of a run");
  return out;
}

}  // namespace evenkeel::record
