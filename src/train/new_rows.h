// A vocabulary that is larger than the weights that a run begins with: what its new rows begin with.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/model_source.h"
#include "ops/params.h"
#include "train/config.h"

namespace evenkeel::train {

struct NewRows {
  model::NewEmbeddings how = model::NewEmbeddings::mean;
  int64_t n_old = 0;
  // pieces: of id n_old + i, the old ids that its text is made of. Empty: the mean of all old rows.
  std::vector<std::vector<int32_t>> parts = {};
};

// As the recipe says, of a model whose vocabulary is larger than the source's. For `pieces` the tokenizers are read: of
// the source the one that it was trained with, and the largest of the sets'. DataError where one is not known, or its
// file not there, where the larger does not extend the smaller, and for kinds that cannot be extended. For all kinds
// DataError as of checkpoint::require_free_ids.
NewRows new_rows(const RunConfig& config, const checkpoint::ModelSource& source);

// `params`, of a model with rows.n_old rows of the vocabulary, with those of `config`: embeddings, and an untied head.
// Means are taken in fp64. The old rows keep their bits.
ops::Params with_new_rows(const model::ModelConfig& config, const NewRows& rows, const ops::Params& params,
                          uint64_t seed);

// Balancing states of routers: what has a row of each id of the vocabulary keeps the old ones and takes the new ones of
// `initial`, the states of a beginning.
std::vector<ops::Params> with_new_ids(const std::vector<ops::Params>& states, const std::vector<ops::Params>& initial);

}  // namespace evenkeel::train
