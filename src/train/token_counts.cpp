#include "train/token_counts.h"

#include <cmath>

#include <ATen/ops/empty.h>

#include "core/errors.h"
#include "data/indexed_dataset.h"
#include "data/mixture.h"

namespace evenkeel::train {
namespace {

std::vector<int64_t> counts_of(const data::IndexedDataset& dataset, int64_t vocab_size) {
  constexpr int64_t kBlock = 1 << 20;
  std::vector<int64_t> counts(static_cast<size_t>(vocab_size), 0),
      ids(static_cast<size_t>(std::min(kBlock, dataset.n_tokens())));
  for (int64_t first = 0; first < dataset.n_tokens(); first += kBlock) {
    const int64_t n = std::min(kBlock, dataset.n_tokens() - first);
    dataset.copy(first, n, ids.data());
    for (int64_t i = 0; i < n; ++i) {
      const int64_t id = ids[static_cast<size_t>(i)];
      require<DataError>(id >= 0 && id < vocab_size, dataset.prefix().string(), ": got token id ", id, "; need 0..",
                         vocab_size - 1);
      ++counts[static_cast<size_t>(id)];
    }
  }
  return counts;
}

}  // namespace

at::Tensor count_tokens(const std::vector<DataSource>& sources, int64_t vocab_size, data::Datasets& datasets) {
  std::vector<double> weights, sums(static_cast<size_t>(vocab_size), 0.0);
  std::vector<const data::IndexedDataset*> sets;
  double n_tokens = 0;
  for (const auto& source : sources) {
    weights.push_back(source.weight);
    sets.push_back(&datasets.open(source.path.value));
    n_tokens += static_cast<double>(sets.back()->n_tokens());
  }
  const data::Mixture mixture(weights, sources.at(0).path.where);
  for (size_t i = 0; i < sources.size(); ++i) {
    if (mixture.shares()[i] == 0) continue;
    const auto counts = counts_of(*sets[i], vocab_size);
    const double scale =
        sources.size() == 1 ? 1.0 : mixture.shares()[i] * n_tokens / static_cast<double>(sets[i]->n_tokens());
    for (size_t id = 0; id < counts.size(); ++id) sums[id] += scale * static_cast<double>(counts[id]);
  }
  const auto out = at::empty({vocab_size}, at::kLong);
  for (size_t id = 0; id < sums.size(); ++id) out.mutable_data_ptr<int64_t>()[id] = std::llround(sums[id]);
  return out;
}

}  // namespace evenkeel::train
