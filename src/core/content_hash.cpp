#include "core/content_hash.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>

#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/cores.h"
#include "core/errors.h"
#include "core/log.h"

namespace evenkeel {
namespace {

static_assert(std::endian::native == std::endian::little, "lengths are hashed as they lie in memory");

constexpr size_t kPieceBytes = size_t{4} << 20;
constexpr auto kBarAfter = std::chrono::seconds(2);

using Digest = std::array<char, sizeof(XXH128_canonical_t)>;

Digest digest_of(std::string_view bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return std::bit_cast<Digest>(canonical);
}

struct Piece {
  size_t file, offset_bytes, size_bytes;
};

std::vector<Piece> pieces_of(const std::vector<const MappedFile*>& files) {
  std::vector<Piece> out;
  for (size_t i = 0; i < files.size(); ++i)
    for (size_t begin = 0; begin < files[i]->size(); begin += kPieceBytes)
      out.push_back({i, begin, std::min(kPieceBytes, files[i]->size() - begin)});
  return out;
}

// Threads take the next piece until there is none; the caller's thread watches and draws the bar.
class PieceReader {
 public:
  PieceReader(const std::vector<const MappedFile*>& files, const PieceVisitor& visit)
      : files_(files), visit_(visit), pieces_(pieces_of(files)), digests_(pieces_.size()) {}

  std::vector<Digest> read(const std::string& label) {
    const size_t n_threads = std::min(static_cast<size_t>(allowed_cores()), pieces_.size());
    if (n_threads <= 1) {
      work();
    } else {
      std::vector<std::jthread> threads;
      n_working_ = n_threads;
      try {
        for (size_t i = 0; i < n_threads; ++i) threads.emplace_back([this] { work(); });
      } catch (const std::system_error&) {  // The machine gives no more threads: the caller's takes part.
        {
          const std::lock_guard lock(mutex_);
          n_working_ = n_working_ + threads.size() + 1 - n_threads;
        }
        work();
      }
      watch(label);
    }
    if (error_) std::rethrow_exception(error_);
    return std::move(digests_);
  }

 private:
  void work() {
    try {
      for (size_t next = next_++; next < pieces_.size(); next = next_++) {
        const Piece& piece = pieces_[next];
        const auto bytes = files_[piece.file]->text().substr(piece.offset_bytes, piece.size_bytes);
        digests_[next] = digest_of(bytes);
        if (visit_) visit_(piece.file, piece.offset_bytes, bytes);
        files_[piece.file]->release(piece.offset_bytes, piece.offset_bytes + piece.size_bytes);
        done_bytes_ += piece.size_bytes;
      }
    } catch (...) {
      next_ = pieces_.size();
      const std::lock_guard lock(mutex_);
      error_ = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    if (n_working_ > 0) --n_working_;
    ended_.notify_one();
  }

  void watch(const std::string& label) {
    double total = 0;
    for (const auto* file : files_) total += static_cast<double>(file->size());
    std::unique_lock lock(mutex_);
    if (ended_.wait_for(lock, kBarAfter, [&] { return n_working_ == 0; })) return;
    Progress bar(label, total, "GB", 1e9);
    bar.skip(static_cast<double>(done_bytes_));
    while (!ended_.wait_for(lock, std::chrono::milliseconds(200), [&] { return n_working_ == 0; }))
      bar.update(static_cast<double>(done_bytes_));
  }

  const std::vector<const MappedFile*>& files_;
  const PieceVisitor& visit_;
  std::vector<Piece> pieces_;
  std::vector<Digest> digests_;  // of each piece
  std::atomic<size_t> next_{0}, done_bytes_{0};
  std::mutex mutex_;  // guards n_working_ and error_
  std::condition_variable ended_;
  size_t n_working_ = 0;
  std::exception_ptr error_;
};

}  // namespace

std::string content_hash(const std::vector<const MappedFile*>& files, const std::string& label,
                         const PieceVisitor& visit) {
  const auto digests = PieceReader(files, visit).read(label);
  std::string all;
  size_t next = 0;
  for (const auto* file : files) {
    for (size_t begin = 0; begin < file->size(); begin += kPieceBytes)
      all.append(digests[next].data(), digests[next].size()), ++next;
    const auto size = static_cast<uint64_t>(file->size());
    all.append(reinterpret_cast<const char*>(&size), sizeof size);
  }
  std::string out = "xxh3:";
  for (const char byte : digest_of(all)) {
    out += "0123456789abcdef"[static_cast<unsigned char>(byte) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned char>(byte) & 15];
  }
  return out;
}

FileStamp stamp_of(const fs::path& path) {
  struct stat info {};
  require<DataError>(stat(path.c_str(), &info) == 0, path.string(), ": got no such file; need a readable file");
  return {info.st_size, int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

Json to_json(const std::vector<FileStamp>& stamps) {
  Json out = Json::array();
  for (const auto& stamp : stamps) out.push_back(Json::Array{stamp.bytes, stamp.modified_ns});
  return out;
}

std::vector<FileStamp> stamps_from_json(const Json& json) {
  std::vector<FileStamp> out;
  for (const auto& stamp : json.as_array()) out.push_back({stamp.at(0).as_int(), stamp.at(1).as_int()});
  return out;
}

}  // namespace evenkeel
