#include "ops/top_k.h"

#include <algorithm>
#include <functional>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/kthvalue.h>
#include <ATen/ops/result_type.h>
#include <ATen/ops/sort.h>

namespace evenkeel::ops {
namespace {

template <class T>
bool is_better(T score, T than) {
  return score > than || (than != than && score == score);
}

// One row: the k best so far stay sorted, and most scores fail the one comparison with the last of them.
// `best` has room for k scores.
template <class T>
void select_row(const T* scores, int64_t n_experts, int64_t k, T* best, int64_t* ids) {
  int64_t n_best = 0;
  for (int64_t expert = 0; expert < n_experts; ++expert) {
    const T score = scores[expert];
    if (n_best == k && !is_better(score, best[k - 1])) continue;
    int64_t place = n_best < k ? n_best++ : k - 1;
    for (; place > 0 && is_better(score, best[place - 1]); --place) {
      best[place] = best[place - 1];
      ids[place] = ids[place - 1];
    }
    best[place] = score;
    ids[place] = expert;
  }
}

template <class T>
at::Tensor top_k_on_cpu(const at::Tensor& scores, int64_t k, const at::Tensor& bias) {
  const int64_t n_tokens = scores.size(0), n_experts = scores.size(1);
  const auto ids = at::empty({n_tokens, k}, scores.options().dtype(at::kLong));
  const T* from = scores.const_data_ptr<T>();
  const T* added = bias.defined() ? bias.const_data_ptr<T>() : nullptr;
  int64_t* to = ids.mutable_data_ptr<int64_t>();
  at::parallel_for(0, n_tokens, 256, [&](int64_t begin, int64_t end) {
    std::vector<T> best(static_cast<size_t>(k)), row(static_cast<size_t>(n_experts));
    for (int64_t t = begin; t < end; ++t) {
      const T* values = from + t * n_experts;
      if (added != nullptr) {
        for (int64_t expert = 0; expert < n_experts; ++expert) row[static_cast<size_t>(expert)] = values[expert] + added[expert];
        values = row.data();
      }
      select_row(values, n_experts, k, best.data(), to + t * k);
    }
  });
  return ids;
}

template <class T>
at::Tensor kth_on_cpu(const at::Tensor& values, int64_t k) {
  const auto columns = values.t().clone(at::MemoryFormat::Contiguous);  // [E, T], reordered in place
  const auto out = at::empty({columns.size(0)}, values.options());
  const int64_t n_rows = columns.size(1);
  T* from = columns.mutable_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  at::parallel_for(0, columns.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t column = begin; column < end; ++column) {
      T* first = from + column * n_rows;
      std::nth_element(first, first + k - 1, first + n_rows, std::greater<T>());
      to[column] = first[k - 1];
    }
  });
  return out;
}

}  // namespace

at::Tensor top_k_ids(const at::Tensor& scores, int64_t k, const at::Tensor& bias) {
  auto type = bias.defined() ? at::result_type(scores, bias) : scores.scalar_type();
  if (type != at::kDouble) type = at::kFloat;
  const auto values = scores.detach().to(type).contiguous();
  const auto added = bias.defined() ? bias.detach().to(type).contiguous() : bias;
  if (!values.is_cpu()) {
    const auto sums = added.defined() ? values.add(added) : values;
    const auto order = std::get<1>(at::sort(sums, /*stable=*/true, /*dim=*/1, /*descending=*/true));
    return order.narrow(1, 0, k).contiguous();
  }
  return type == at::kDouble ? top_k_on_cpu<double>(values, k, added) : top_k_on_cpu<float>(values, k, added);
}

at::Tensor kth_largest_of_columns(const at::Tensor& values, int64_t k) {
  const auto plain = values.detach();
  if (!plain.is_cpu()) return std::get<0>(at::kthvalue(plain, plain.size(0) - k + 1, /*dim=*/0));
  return plain.scalar_type() == at::kDouble ? kth_on_cpu<double>(plain, k) : kth_on_cpu<float>(plain, k);
}

bool all_finite(const at::Tensor& values) { return at::isfinite(values.detach()).all().item<bool>(); }

}  // namespace evenkeel::ops
