#include "core/file_scan.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "core/cores.h"
#include "core/log.h"

namespace evenkeel {
namespace {

constexpr auto kBarAfter = std::chrono::seconds(2);

using Visit = std::function<void(size_t part, size_t offset_bytes, std::string_view piece)>;

struct Piece {
  size_t part, offset_bytes, size_bytes;
};

std::vector<Piece> pieces_of(const std::vector<FilePart>& parts) {
  std::vector<Piece> out;
  for (size_t i = 0; i < parts.size(); ++i)
    for (size_t begin = 0; begin < parts[i].size_bytes; begin += kPieceBytes)
      out.push_back({i, begin, std::min(kPieceBytes, parts[i].size_bytes - begin)});
  return out;
}

// Threads take the next piece until there is none; the caller's thread watches and draws the bar.
class PieceReader {
 public:
  PieceReader(const std::vector<FilePart>& parts, const Visit& visit)
      : parts_(parts), visit_(visit), pieces_(pieces_of(parts)) {}

  void read(const std::string& label) {
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
  }

 private:
  void work() {
    try {
      for (size_t next = next_++; next < pieces_.size(); next = next_++) {
        const Piece& piece = pieces_[next];
        const MappedFile& file = *parts_[piece.part].file;
        visit_(piece.part, piece.offset_bytes, file.text().substr(piece.offset_bytes, piece.size_bytes));
        file.release(piece.offset_bytes, piece.offset_bytes + piece.size_bytes);
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
    for (const auto& part : parts_) total += static_cast<double>(part.size_bytes);
    std::unique_lock lock(mutex_);
    if (ended_.wait_for(lock, kBarAfter, [&] { return n_working_ == 0; })) return;
    Progress bar(label, total, "GB", 1e9);
    bar.skip(static_cast<double>(done_bytes_));
    while (!ended_.wait_for(lock, std::chrono::milliseconds(200), [&] { return n_working_ == 0; }))
      bar.update(static_cast<double>(done_bytes_));
  }

  const std::vector<FilePart>& parts_;
  const Visit& visit_;
  std::vector<Piece> pieces_;
  std::atomic<size_t> next_{0}, done_bytes_{0};
  std::mutex mutex_;  // guards n_working_ and error_
  std::condition_variable ended_;
  size_t n_working_ = 0;
  std::exception_ptr error_;
};

}  // namespace

void scan(const std::vector<FilePart>& parts, const std::string& label, const Visit& visit) {
  PieceReader(parts, visit).read(label);
}

}  // namespace evenkeel
