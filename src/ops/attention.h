// Causal multi-head attention over projected heads.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// query [B, S, heads, D], key and value [B, S, kv_heads, D], heads a multiple of kv_heads -> [B, S, heads * D].
// Scores are scaled by 1 / sqrt(D). Undefined mask: position s sees positions <= s; else what the mask says, which is
// added to the scores. Differentiable in the first three.
at::Tensor causal_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const at::Tensor& mask);

// The mask of sequences that hold several documents or begin with a prefix, [B, 1, S, S] of `dtype`: 0 where position s
// sees position t, -inf elsewhere. It sees those <= s, and where both are of a prefix the later ones too; with segments
// only those of its own. segments [B, S] of any integer type, a number of its own for each segment of a sequence
// (segment_starts); is_prefix [B, S] bool; one of both may be undefined.
at::Tensor attention_mask(const at::Tensor& segments, const at::Tensor& is_prefix, at::ScalarType dtype);

// A segment begins where the document changes, also where an earlier id comes back. document_ids [B, S] -> the first
// position of each token's segment, [B, S] i64: what names it, and what its positions are counted from.
at::Tensor segment_starts(const at::Tensor& document_ids);

}  // namespace evenkeel::ops
