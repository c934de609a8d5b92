#include "train/tensorboard.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/output.h"
#include "core/protobuf.h"

namespace evenkeel::train {
namespace {

template <class To, class From>
To bits_of(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To out;
  std::memcpy(&out, &value, sizeof out);
  return out;
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> out{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0u);
      out[i] = value;
    }
    return out;
  }();
  uint32_t crc = 0xffffffffu;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

TensorBoardFile::TensorBoardFile(const std::filesystem::path& folder, int64_t first_step) {
  make_folders(folder);
  char name[64];
  std::snprintf(name, sizeof name, "events.out.tfevents.%010lld.evenkeel", static_cast<long long>(first_step));
  std::vector<std::filesystem::path> beyond;  // of resumes from later checkpoints
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (is_events_name(entry.path().filename().string()) && entry.path().filename() > name &&
        is_own({entry.path(), OutputKind::events}))
      beyond.push_back(entry.path());
  for (const auto& path : beyond) std::filesystem::remove(path);
  file_ = std::fopen((folder / name).c_str(), "wb");
  require<MachineError>(file_ != nullptr, (folder / name).string(), ": got '", std::strerror(errno),
                        "' on creating; need it to succeed");
  std::string event;
  event += '\x09';  // wall_time, double
  put_fixed64(event, bits_of<uint64_t>(wall_seconds()));
  put_bytes(event, 3, "brain.Event:2");
  record(event);
  if (first_step == 0) return;
  // A session that starts at this step: readers drop what an earlier file has from here on.
  event.clear();
  event += '\x09';
  put_fixed64(event, bits_of<uint64_t>(wall_seconds()));
  event += '\x10';
  put_varint(event, static_cast<uint64_t>(first_step + 1));
  put_bytes(event, 7, std::string_view("\x08\x01", 2));  // session_log {status: START}
  record(event);
}

TensorBoardFile::~TensorBoardFile() {
  if (file_ != nullptr) std::fclose(file_);
}

void TensorBoardFile::record(const std::string& event) {
  const auto masked = [](std::string_view bytes) {
    const uint32_t crc = crc32c(bytes);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
  };
  std::string length, out;
  put_fixed64(length, event.size());
  out = length;
  put_fixed32(out, masked(length));
  out += event;
  put_fixed32(out, masked(event));
  const bool written = std::fwrite(out.data(), 1, out.size(), file_) == out.size() && std::fflush(file_) == 0;
  require<MachineError>(written, "TensorBoard events: got '", std::strerror(errno), "' on writing; need it to succeed");
}

void TensorBoardFile::scalar(const std::string& tag, double value, int64_t step) {
  std::string summary_value, summary, event;
  put_bytes(summary_value, 1, tag);
  summary_value += '\x15';  // simple_value, float
  put_fixed32(summary_value, bits_of<uint32_t>(static_cast<float>(value)));
  put_bytes(summary, 1, summary_value);
  event += '\x09';
  put_fixed64(event, bits_of<uint64_t>(wall_seconds()));
  event += '\x10';  // step
  put_varint(event, static_cast<uint64_t>(step));
  put_bytes(event, 5, summary);
  record(event);
}

}  // namespace evenkeel::train
