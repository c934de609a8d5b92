#include "data/ordered_encoder.h"

#include <utility>

#include "core/threads.h"

namespace evenkeel::data {
namespace {

constexpr size_t kBatchBytes = size_t{1} << 18;     // of text that one thread encodes at a time
constexpr size_t kInFlightBytes = size_t{1} << 26;  // of text between reader and writer

}  // namespace

OrderedEncoder::OrderedEncoder(Encode encode, int64_t n_threads, Take take)
    : encode_(std::move(encode)), take_(std::move(take)), n_threads_(static_cast<size_t>(n_threads)) {
  threads_ = start_threads(
      n_threads, [this] { work(); }, [this] { stop(); });
}

OrderedEncoder::~OrderedEncoder() { stop(); }  // threads_ join after it, each after its current batch

void OrderedEncoder::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  has_work_.notify_all();
}

void OrderedEncoder::add(std::string&& text) {
  open_.text_bytes += text.size();
  open_.texts.push_back(std::move(text));
  if (open_.text_bytes >= kBatchBytes) dispatch();
}

void OrderedEncoder::finish() {
  dispatch();
  while (!in_flight_.empty()) take_oldest();
}

void OrderedEncoder::dispatch() {
  in_flight_bytes_ += open_.text_bytes;
  in_flight_.push_back(std::make_unique<Batch>(std::exchange(open_, {})));
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(in_flight_.back().get());
  }
  has_work_.notify_one();
  while (in_flight_.size() > 4 * n_threads_ || (in_flight_.size() > 1 && in_flight_bytes_ > kInFlightBytes))
    take_oldest();
}

void OrderedEncoder::take_oldest() {
  Batch& batch = *in_flight_.front();
  {
    std::unique_lock lock(mutex_);
    has_result_.wait(lock, [&] { return batch.is_done; });
  }
  if (batch.error) std::rethrow_exception(batch.error);
  for (size_t i = 0; i < batch.texts.size(); ++i) take_(batch.texts[i], std::move(batch.encoded[i]));
  in_flight_bytes_ -= batch.text_bytes;
  in_flight_.pop_front();
}

void OrderedEncoder::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    has_work_.wait(lock, [&] { return is_stopping_ || !waiting_.empty(); });
    if (is_stopping_) return;
    Batch& batch = *waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    try {
      for (const auto& text : batch.texts) batch.encoded.push_back(encode_(text));
    } catch (...) {
      batch.error = std::current_exception();
    }
    lock.lock();
    batch.is_done = true;
    has_result_.notify_one();
  }
}

}  // namespace evenkeel::data
