// The L2 norm of all gradients as one vector, and clipping by it.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

namespace evenkeel::optim {

// sqrt(sum of all squares), summed in fp64. Undefined tensors count as 0. On the CPU each tensor is summed in blocks of
// a fixed size, in order, so that the result has the same bits for any number of threads; ATen's fp32 norm is 1 % low
// for 2^24 equal entries. On other devices the order is the library's.
double gradient_norm(const std::vector<at::Tensor>& gradients);

// torch's clip_grad_norm_: scales by clip / (norm + 1e-6) where that is below 1. clip_norm 0: not at all.
void clip_gradients(const std::vector<at::Tensor>& gradients, double norm, double clip_norm);

}  // namespace evenkeel::optim
