#include "ops/row_order.h"

#include <algorithm>
#include <numeric>

#include <ATen/ops/empty.h>
#include <ATen/ops/sort.h>

namespace evenkeel::ops {
namespace {

at::Tensor stable_order(const at::Tensor& values, bool falling) {
  return std::get<1>(at::sort(values, /*stable=*/true, /*dim=*/0, falling));
}

// Positions first .. end - 1, the largest value first. Rows are short as a rule: insertion, which needs no memory.
template <class T>
void sort_row(const T* value, int64_t* order, int64_t first, int64_t end) {
  constexpr int64_t kShort = 32;
  if (end - first > kShort)
    return std::stable_sort(order + first, order + end, [value](int64_t a, int64_t b) { return value[a] > value[b]; });
  for (int64_t i = first + 1; i < end; ++i) {
    const int64_t moved = order[i];
    int64_t place = i;
    for (; place > first && value[order[place - 1]] < value[moved]; --place) order[place] = order[place - 1];
    order[place] = moved;
  }
}

template <class T>
at::Tensor order_on_cpu(const at::Tensor& rows, const at::Tensor& values) {
  const auto out = at::empty(rows.sizes(), rows.options());
  const int64_t n = rows.size(0), *row = rows.const_data_ptr<int64_t>();
  const T* value = values.const_data_ptr<T>();
  int64_t* order = out.mutable_data_ptr<int64_t>();
  std::iota(order, order + n, 0);
  for (int64_t first = 0, end = 0; first < n; first = end) {
    while (end < n && row[end] == row[first]) ++end;
    sort_row(value, order, first, end);
  }
  return out;
}

}  // namespace

at::Tensor falling_within_rows(const at::Tensor& rows, const at::Tensor& values) {
  const auto plain = values.detach();
  if (!plain.is_cpu()) {
    const auto by_value = stable_order(plain, /*falling=*/true);
    return by_value.index_select(0, stable_order(rows.index_select(0, by_value), /*falling=*/false));
  }
  if (plain.scalar_type() == at::kDouble) return order_on_cpu<double>(rows.contiguous(), plain.contiguous());
  return order_on_cpu<float>(rows.contiguous(), plain.to(at::kFloat).contiguous());
}

}  // namespace evenkeel::ops
