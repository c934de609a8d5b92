// How often each token id occurs in the data of a mixture, for routers that are made from it.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "data/datasets.h"
#include "train/config.h"

namespace evenkeel::train {

// [V] i64. Every id of every source is counted, in one pass that reads a block at a time; a source stands for its
// share of the mixture, so that all counts together are the tokens of all sources (to rounding). DataError for an
// id outside the vocabulary.
at::Tensor count_tokens(const std::vector<DataSource>& sources, int64_t vocab_size, data::Datasets& datasets);

}  // namespace evenkeel::train
