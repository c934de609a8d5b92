// Sequences of tokens as a model is trained or scored on them.
#pragma once

#include <map>
#include <span>
#include <string>

#include <ATen/core/Tensor.h>

namespace evenkeel::data {

// Legend: B sequences, S tokens of each. The tensors from document_ids on may be undefined.
struct Batch {
  at::Tensor tokens;   // [B, S] i64
  at::Tensor targets;  // [B, S] i64: what is scored at each token; -1 = nothing
  // [B, S] i32: a segment begins where it changes, and sees no other segment. Undefined: each sequence is one segment.
  at::Tensor document_ids;
  // [B, S] bool: true where there is no token. Undefined: there are tokens everywhere.
  at::Tensor is_padding;
  // [B, S] bool: true in the prefix of a segment, whose tokens all see each other. Undefined: there is no prefix.
  at::Tensor is_prefix;
  std::map<std::string, int64_t> sources;  // sequences of each source
};

Batch on_device(Batch batch, at::Device device);
// All sequences as one batch, with their sources together. A tensor that some batches have and others have not is zero
// for the others, which says the same: one segment, no padding, no prefix. At least one batch.
Batch joined(std::span<const Batch> batches);

}  // namespace evenkeel::data
