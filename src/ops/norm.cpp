#include "ops/norm.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Of one row; its sums are vectorised by the pragmas.
template <class T>
struct RowNorm {
  const T* weight;
  int64_t width;

  // Gives rsqrt(mean of squares + eps), which the backward pass wants.
  T forward(const T* x, T eps, T* out) const {
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; ++i) sum += x[i] * x[i];
    const T scale = T(1) / std::sqrt(sum / T(width) + eps);
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) out[i] = x[i] * scale * weight[i];
    return scale;
  }

  struct Gradients {
    const T* out;
    T* x;
    T* weight;  // of all rows: added to
  };
  // dx = scale * (g - x * scale^2 * mean(g * x)) with g = dy * weight; dweight += dy * x * scale.
  void backward(const T* x, T scale, const Gradients& grad) const {
    T dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < width; ++i) dot += grad.out[i] * weight[i] * x[i];
    const T pull = dot * scale * scale / T(width);
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) grad.x[i] = scale * (grad.out[i] * weight[i] - x[i] * pull);
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) grad.weight[i] += grad.out[i] * x[i] * scale;
  }
};

constexpr int64_t kRowsPerBlock = 128;  // fixed, so that sums do not depend on the number of threads

template <class T>
at::Tensor forward_cpu(const at::Tensor& x, const at::Tensor& weight, double eps, at::Tensor& inverse) {
  const int64_t width = x.size(1), n_rows = x.size(0);
  auto out = at::empty_like(x);
  inverse = at::empty({n_rows}, x.options());
  const RowNorm<T> norm{weight.const_data_ptr<T>(), width};
  const T* from = x.const_data_ptr<T>();
  T *to = out.mutable_data_ptr<T>(), *scales = inverse.mutable_data_ptr<T>();
  at::parallel_for(0, n_rows, kRowsPerBlock, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      scales[row] = norm.forward(from + row * width, T(eps), to + row * width);
  });
  return out;
}

template <class T>
variable_list backward_cpu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& inverse,
                           const at::Tensor& grad) {
  const int64_t width = x.size(1), n_rows = x.size(0);
  const int64_t n_blocks = (n_rows + kRowsPerBlock - 1) / kRowsPerBlock;
  auto grad_x = at::empty_like(x);
  auto partial = at::zeros({n_blocks, width}, x.options());
  const RowNorm<T> norm{weight.const_data_ptr<T>(), width};
  const T *from = x.const_data_ptr<T>(), *dy = grad.const_data_ptr<T>(), *scales = inverse.const_data_ptr<T>();
  T *dx = grad_x.mutable_data_ptr<T>(), *dweight = partial.mutable_data_ptr<T>();
  at::parallel_for(0, n_blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      for (int64_t row = block * kRowsPerBlock; row < std::min(n_rows, (block + 1) * kRowsPerBlock); ++row)
        norm.backward(from + row * width, scales[row], {dy + row * width, dx + row * width, dweight + block * width});
  });
  return {grad_x, partial.sum(0)};
}

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, double eps) {
    const auto rows = x.contiguous().view({-1, x.size(-1)});
    at::Tensor inverse;
    const auto out = x.scalar_type() == at::kDouble ? forward_cpu<double>(rows, weight, eps, inverse)
                                                    : forward_cpu<float>(rows, weight, eps, inverse);
    context->save_for_backward({rows, weight, inverse});
    return out.view(x.sizes());
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto grad = grads[0].contiguous().view(saved[0].sizes());
    auto out = saved[0].scalar_type() == at::kDouble ? backward_cpu<double>(saved[0], saved[1], saved[2], grad)
                                                     : backward_cpu<float>(saved[0], saved[1], saved[2], grad);
    return {out[0].view(grads[0].sizes()), out[1], at::Tensor()};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const bool has_kernel = x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble);
  if (has_kernel) return RmsNormFunction::apply(x, weight, eps);
  const auto wide = x.to(at::kFloat);
  return (wide * at::rsqrt(at::pow(wide, 2).mean(-1, /*keepdim=*/true) + eps)).to(x.scalar_type()) * weight;
}

}  // namespace evenkeel::ops
