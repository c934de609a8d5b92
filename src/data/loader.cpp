#include "data/loader.h"

namespace evenkeel::data {

Batch Loader::next(int64_t batch_size) {
  const int64_t S = options_.sequence_length;
  auto batch = options_.objective->rows(batch_size, S, options_.document_ids);
  for (int64_t row = 0; row < batch_size; ++row) {
    const auto draw = sampler_.next();
    options_.objective->fill({draw.dataset, draw.sample * S}, row, batch);
    ++batch.sources[draw.source];
  }
  return batch;
}

}  // namespace evenkeel::data
