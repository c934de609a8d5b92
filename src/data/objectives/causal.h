// Next-token prediction: what a batch makes of the tokens of a sample, or of a window.
#pragma once

#include "data/batch.h"
#include "data/indexed_dataset.h"

namespace evenkeel::data {

// Rows to be filled; with document_ids where they are asked for.
Batch causal_batch(int64_t n_rows, int64_t length, bool document_ids);
// Row `row`: the tokens of the set's stream from `first` on, each scored by the one that follows it. Documents are
// numbered from that of the first token, so that the numbers fit and do not depend on the file's size.
void fill_causal(const IndexedDataset& dataset, int64_t first, int64_t row, Batch& batch);

}  // namespace evenkeel::data
