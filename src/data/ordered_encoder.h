// Texts to token ids on all cores, in the order of the texts.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "data/encoded_text.h"

namespace evenkeel::data {

// Threads encode batches of texts; the caller's thread adds texts and takes the ids, so that the order is that of
// adding. Memory is bounded: adding waits while 64 MiB of text are under way.
class OrderedEncoder {
 public:
  using Encode = std::function<EncodedText(const std::string& text)>;  // called from several threads at once
  using Take = std::function<void(const std::string& text, EncodedText&& encoded)>;

  // MachineError when a thread cannot be started.
  OrderedEncoder(Encode encode, int64_t n_threads, Take take);
  ~OrderedEncoder();
  OrderedEncoder(const OrderedEncoder&) = delete;
  OrderedEncoder& operator=(const OrderedEncoder&) = delete;

  void add(std::string&& text);
  void finish();

 private:
  struct Batch {
    std::vector<std::string> texts;
    std::vector<EncodedText> encoded;  // each text, once is_done
    size_t text_bytes = 0;
    std::exception_ptr error;
    bool is_done = false;
  };

  void dispatch();
  void take_oldest();
  void work();
  void stop();

  Encode encode_;
  Take take_;
  size_t n_threads_;
  Batch open_;
  std::deque<std::unique_ptr<Batch>> in_flight_;  // the caller's thread only
  size_t in_flight_bytes_ = 0;
  std::mutex mutex_;  // guards waiting_, is_stopping_ and Batch::is_done
  std::condition_variable has_work_, has_result_;
  std::deque<Batch*> waiting_;
  bool is_stopping_ = false;
  std::vector<std::jthread> threads_;  // last: stopped before what they use goes
};

}  // namespace evenkeel::data
