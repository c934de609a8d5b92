#include "ops/permute.h"

#include <algorithm>

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The sum of the rows of each token, as `combine` promises it. rows [N, H], contiguous.
at::Tensor sum_per_token(const at::Tensor& rows, const at::Tensor& token_ids, const at::Tensor& order,
                         int64_t n_tokens) {
  const int64_t n = token_ids.size(0);
  auto position = at::empty_like(order);  // assignment -> row
  auto out = at::zeros({n_tokens, rows.size(1)}, rows.options());
  if (!rows.is_cpu()) {
    position.index_put_({order}, at::arange(n, order.options()));
    return out.index_add_(0, token_ids, rows.index_select(0, position));
  }
  const int64_t* row_to_assignment = order.const_data_ptr<int64_t>();
  int64_t* assignment_to_row = position.mutable_data_ptr<int64_t>();
  for (int64_t row = 0; row < n; ++row) assignment_to_row[row_to_assignment[row]] = row;
  const int64_t* tokens = token_ids.const_data_ptr<int64_t>();
  const int64_t width = rows.size(1);
  const auto add_rows = [&]<class T>(T*) {
    const T* from = rows.const_data_ptr<T>();
    T* to = out.mutable_data_ptr<T>();
    at::parallel_for(0, n_tokens, 64, [&](int64_t begin, int64_t end) {
      const int64_t* first = std::lower_bound(tokens, tokens + n, begin);
      for (int64_t a = first - tokens; a < n && tokens[a] < end; ++a) {
        const T* source = from + assignment_to_row[a] * width;
        T* target = to + tokens[a] * width;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) target[i] += source[i];
      }
    });
  };
  if (rows.scalar_type() == at::kDouble) {
    add_rows(static_cast<double*>(nullptr));
  } else if (rows.scalar_type() == at::kFloat) {
    add_rows(static_cast<float*>(nullptr));
  } else {
    out.index_add_(0, token_ids, rows.index_select(0, position));
  }
  return out;
}

// Each is the gradient of the other.
struct PermuteFunction : torch::autograd::Function<PermuteFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const Permutation& permutation) {
    context->save_for_backward({permutation.token_ids, permutation.order});
    context->saved_data["n_tokens"] = x.size(0);
    return x.index_select(0, permutation.row_tokens);
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    return {sum_per_token(grads[0].contiguous(), saved[0], saved[1], context->saved_data["n_tokens"].toInt()),
            at::Tensor()};
  }
};

struct CombineFunction : torch::autograd::Function<CombineFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows, const Permutation& permutation,
                            int64_t n_tokens) {
    context->save_for_backward({permutation.row_tokens});
    return sum_per_token(rows.contiguous(), permutation.token_ids, permutation.order, n_tokens);
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    return {grads[0].index_select(0, context->get_saved_variables()[0]), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

Permutation sort_by_expert(const at::Tensor& token_ids, const at::Tensor& expert_ids, int64_t n_experts) {
  Permutation out;
  out.token_ids = token_ids.contiguous();  // read by pointer; the ids of a single token may come as a view of stride 0
  if (expert_ids.is_cpu()) {
    const auto ids = expert_ids.contiguous();
    const int64_t* expert = ids.const_data_ptr<int64_t>();
    const int64_t n = ids.size(0);
    out.rows_per_expert.assign(static_cast<size_t>(n_experts), 0);
    for (int64_t i = 0; i < n; ++i) ++out.rows_per_expert[static_cast<size_t>(expert[i])];
    std::vector<int64_t> next(static_cast<size_t>(n_experts), 0);
    for (size_t e = 1; e < next.size(); ++e) next[e] = next[e - 1] + out.rows_per_expert[e - 1];
    out.order = at::empty({n}, ids.options());
    int64_t* order = out.order.mutable_data_ptr<int64_t>();
    for (int64_t i = 0; i < n; ++i) order[next[static_cast<size_t>(expert[i])]++] = i;
  } else {
    out.order = std::get<1>(at::sort(expert_ids, /*stable=*/true, 0, /*descending=*/false));
    const auto counts =
        at::zeros({n_experts}, expert_ids.options()).index_add_(0, expert_ids, at::ones_like(expert_ids)).cpu();
    out.rows_per_expert.assign(counts.const_data_ptr<int64_t>(), counts.const_data_ptr<int64_t>() + n_experts);
  }
  out.row_tokens = out.token_ids.index_select(0, out.order);
  return out;
}

at::Tensor permute(const at::Tensor& x, const Permutation& permutation) {
  return PermuteFunction::apply(x, permutation);
}

at::Tensor combine(const at::Tensor& rows, const Permutation& permutation, int64_t n_tokens) {
  return CombineFunction::apply(rows, permutation, n_tokens);
}

}  // namespace evenkeel::ops
