#include "analysis/windows.h"

#include <fstream>

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include "core/counted.h"
#include "core/errors.h"
#include "core/json.h"

namespace evenkeel::analysis {
namespace {

class DatasetWindows : public Windows {
 public:
  DatasetWindows(const data::IndexedDataset& dataset, int64_t sequence_length, int64_t max_tokens)
      : dataset_(dataset),
        length_(sequence_length),
        reader_(dataset, sequence_length, max_tokens, /*document_ids=*/true) {
    require<DataError>(n_tokens() > 0, dataset.prefix().string(), ": got ", dataset.n_tokens(),
                       " tokens; need at least 2, one and its target");
  }
  int64_t n_windows() const override { return (n_tokens() + length_ - 1) / length_; }
  int64_t length() const override { return std::min(length_, n_tokens()); }
  int64_t n_tokens() const override { return reader_.n_scored_tokens(); }

  data::Batch next(int64_t batch_size) override {
    auto batch = reader_.next(batch_size);
    const int64_t n_rows = batch.tokens.size(0), length = batch.tokens.size(1);
    for (int64_t row = 0; row < n_rows; ++row, position_ += length)
      batch.document_ids.select(0, row) +=
          dataset_.document_of(position_);  // the reader counts from the row's first document
    return batch;
  }

 private:
  const data::IndexedDataset& dataset_;
  int64_t length_, position_ = 0;
  data::WindowReader reader_;
};

class SequenceWindows : public Windows {
 public:
  explicit SequenceWindows(at::Tensor sequences) : sequences_(std::move(sequences)) {}
  int64_t n_windows() const override { return sequences_.size(0); }
  int64_t length() const override { return sequences_.size(1); }
  int64_t n_tokens() const override { return sequences_.numel(); }

  data::Batch next(int64_t batch_size) override {
    const int64_t rows = std::min(batch_size, n_windows() - position_), last = length() - 1;
    data::Batch batch;
    batch.tokens = sequences_.narrow(0, position_, rows);
    batch.targets = at::full({rows, length()}, -1, at::kLong);
    batch.targets.narrow(1, 0, last).copy_(batch.tokens.narrow(1, 1, last));
    batch.document_ids =
        at::arange(position_, position_ + rows, at::kInt).unsqueeze(1).expand({rows, length()}).contiguous();
    position_ += rows;
    return batch;
  }

 private:
  at::Tensor sequences_;
  int64_t position_ = 0;
};

// [[1, 2], [3, 4]] into one flat list, refused as soon as it is something else.
class SequenceReader : public JsonEvents {
 public:
  SequenceReader(std::string where, int64_t vocab_size) : where_(std::move(where)), vocab_size_(vocab_size) {}
  at::Tensor take() {
    require<DataError>(n_rows_ > 0, where_, ": got no sequence; need ", kNeed);
    return at::tensor(ids_, at::kLong).view({n_rows_, length_});
  }

  void open_object() override { refuse("an object"); }
  void close_object() override {}
  void key(std::string&&) override {}
  void open_array() override {
    if (++depth_ > 2) refuse("a deeper array");
    n_in_row_ = 0;
  }
  void close_array() override {
    if (depth_-- < 2) return;
    if (n_rows_ == 0) length_ = n_in_row_;
    require<DataError>(n_in_row_ == length_ && length_ > 0, where_, ": sequence ", n_rows_, ": got ",
                       counted(n_in_row_, "id"), "; need ",
                       n_rows_ == 0 ? "at least 1" : join_parts(length_, " as in the first"));
    ++n_rows_;
  }
  void value(Json&& plain) override {
    if (depth_ != 2 || !plain.is_integer())
      refuse(plain.dump(), has_fraction(plain) ? ", whole numbers written without a point or an exponent" : "");
    const int64_t id = plain.as_int();
    require<DataError>(id >= 0 && id < vocab_size_, where_, ": sequence ", n_rows_, ", place ", n_in_row_, ": got id ",
                       id, "; need 0..", vocab_size_ - 1, " (the model's vocabulary)");
    ids_.push_back(id);
    ++n_in_row_;
  }

 private:
  static constexpr const char* kNeed = "an array of equally long arrays of token ids";
  [[noreturn]] void refuse(const std::string& got, const char* more = "") const {
    fail<DataError>(where_, ": sequence ", n_rows_, ": got ", got.substr(0, 80), "; need ", kNeed, more);
  }
  std::string where_;
  int64_t vocab_size_, depth_ = 0, n_rows_ = 0, n_in_row_ = 0, length_ = 0;
  std::vector<int64_t> ids_;
};

}  // namespace

std::unique_ptr<Windows> windows_of(const data::IndexedDataset& dataset, int64_t sequence_length, int64_t max_tokens) {
  return std::make_unique<DatasetWindows>(dataset, sequence_length, max_tokens);
}

std::unique_ptr<Windows> windows_of(const at::Tensor& sequences) {
  return std::make_unique<SequenceWindows>(sequences);
}

at::Tensor read_sequences(const std::filesystem::path& path, int64_t vocab_size) {
  const MappedFile check(path);  // says what is wrong with the path
  std::ifstream in(path, std::ios::binary);
  SequenceReader reader(path.string(), vocab_size);
  read_json_events(in, path.string(), reader);
  return reader.take();
}

}  // namespace evenkeel::analysis
