#include "data/objectives/causal.h"

#include <ATen/ops/empty.h>

namespace evenkeel::data {

Batch causal_batch(int64_t n_rows, int64_t length, bool document_ids) {
  Batch batch;
  batch.tokens = at::empty({n_rows, length}, at::kLong);
  batch.targets = at::empty({n_rows, length}, at::kLong);
  if (document_ids) batch.document_ids = at::empty({n_rows, length}, at::kInt);
  return batch;
}

void fill_causal(const IndexedDataset& dataset, int64_t first, int64_t row, Batch& batch) {
  const int64_t length = batch.tokens.size(1);
  dataset.copy(first, length, batch.tokens.mutable_data_ptr<int64_t>() + row * length);
  dataset.copy(first + 1, length, batch.targets.mutable_data_ptr<int64_t>() + row * length);
  if (!batch.document_ids.defined()) return;
  const int64_t base = dataset.document_of(first);
  int32_t* ids = batch.document_ids.mutable_data_ptr<int32_t>() + row * length;
  for (int64_t i = 0; i < length; ++i) ids[i] = static_cast<int32_t>(dataset.document_of(first + i) - base);
}

}  // namespace evenkeel::data
