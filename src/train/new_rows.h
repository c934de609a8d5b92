// A vocabulary that is larger than the one that the weights of a run were trained with: what its new rows begin with.
// Weights may have more rows than their tokenizer has pieces; such padding is taken for new pieces first.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/model_source.h"
#include "ops/params.h"
#include "train/config.h"

namespace evenkeel::train {

struct NewRows {
  model::NewEmbeddings how = model::NewEmbeddings::mean;
  int64_t n_old = 0;  // rows of the weights
  // pieces: of id first + i, the old ids that its text is made of. Empty: the mean of the rows of all old pieces.
  std::vector<std::vector<int32_t>> parts = {};
  int64_t first = n_old;     // the first row that no old piece has
  int64_t n_in_padding = 0;  // so many from there on are those of new pieces, and were padding
};

// As the recipe says. The tokenizers are read: of the source the one that it was trained with, and the largest of the
// sets'. Where they are not known, their files not there or the larger does not extend the smaller, all old rows are
// taken for those of old pieces; for `pieces` that is a DataError, and so are kinds that cannot be extended.
// ConfigError where there is no new row, DataError as of checkpoint::require_free_ids.
NewRows new_rows(const RunConfig& config, const checkpoint::ModelSource& source);

// `params`, of a model with rows.n_old rows of the vocabulary, with those of `config`: embeddings, and an untied head.
// Means are taken in fp64. The old rows keep their bits, but for those that were padding.
ops::Params with_new_rows(const model::ModelConfig& config, const NewRows& rows, const ops::Params& params,
                          uint64_t seed);

// Balancing states of routers: what has a row of each id of the vocabulary keeps the old ones and takes the new ones of
// `initial`, the states of a beginning.
std::vector<ops::Params> with_new_ids(const std::vector<ops::Params>& states, const std::vector<ops::Params>& initial);

}  // namespace evenkeel::train
