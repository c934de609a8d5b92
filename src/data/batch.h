// Sequences of tokens as a model is trained or scored on them.
#pragma once

#include <map>
#include <span>
#include <string>

#include <ATen/core/Tensor.h>

namespace evenkeel::data {

struct Batch {
  at::Tensor tokens;   // [B, S] i64
  at::Tensor targets;  // [B, S] i64, what is scored at each token; -1 = nothing
  at::Tensor
      document_ids;  // [B, S] i32: a segment begins where it changes, and sees no other; undefined: a sequence is one
  at::Tensor is_padding;  // [B, S] bool, true = no token; undefined: there is none
  at::Tensor
      is_prefix;  // [B, S] bool, true = its segment's prefix, whose tokens all see each other; undefined: there is none
  std::map<std::string, int64_t> sources;  // sequences of each source
};

Batch on_device(Batch batch, at::Device device);
// All sequences as one batch, with their sources together. std::logic_error for a tensor that some batches have and
// others have not.
Batch joined(std::span<const Batch> batches);

}  // namespace evenkeel::data
