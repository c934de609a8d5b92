#include "ops/top_k.h"

#include <limits>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/sort.h>

namespace evenkeel::ops {
namespace {

// One row: k passes over E scores; E is small (8 .. 256) and k smaller.
template <class T>
void select_row(const T* scores, int64_t n_experts, int64_t k, int64_t* ids) {
  for (int64_t rank = 0; rank < k; ++rank) {
    int64_t best = -1;
    for (int64_t expert = 0; expert < n_experts; ++expert) {
      bool taken = false;
      for (int64_t i = 0; i < rank; ++i) taken = taken || ids[i] == expert;
      if (taken) continue;
      if (best < 0 || scores[expert] > scores[best] || (scores[best] != scores[best] && scores[expert] == scores[expert])) best = expert;
    }
    ids[rank] = best;
  }
}

template <class T>
at::Tensor top_k_on_cpu(const at::Tensor& scores, int64_t k) {
  const int64_t n_tokens = scores.size(0), n_experts = scores.size(1);
  const auto ids = at::empty({n_tokens, k}, scores.options().dtype(at::kLong));
  const T* from = scores.const_data_ptr<T>();
  int64_t* to = ids.mutable_data_ptr<int64_t>();
  at::parallel_for(0, n_tokens, 256, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) select_row(from + t * n_experts, n_experts, k, to + t * k);
  });
  return ids;
}

}  // namespace

at::Tensor top_k_ids(const at::Tensor& scores, int64_t k) {
  const auto values = scores.detach().contiguous();
  if (!values.is_cpu()) {
    const auto order = std::get<1>(at::sort(values, /*stable=*/true, /*dim=*/1, /*descending=*/true));
    return order.narrow(1, 0, k).contiguous();
  }
  if (values.scalar_type() == at::kDouble) return top_k_on_cpu<double>(values, k);
  return top_k_on_cpu<float>(values.to(at::kFloat), k);
}

bool all_finite(const at::Tensor& values) { return at::isfinite(values.detach()).all().item<bool>(); }

}  // namespace evenkeel::ops
