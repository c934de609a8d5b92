// Causal multi-head attention over projected heads.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// query [B, S, heads, D], key and value [B, S, kv_heads, D], heads a multiple of kv_heads -> [B, S, heads * D].
// Scores are scaled by 1 / sqrt(D). Position s sees positions <= s; with document_ids [B, S] (any integer
// type; undefined = one document) only those of its own document. Differentiable in the first three.
at::Tensor causal_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const at::Tensor& document_ids);

// Positions that restart at 0 where the document changes: document_ids [B, S] -> [B, S] i64.
at::Tensor positions_in_document(const at::Tensor& document_ids);

}  // namespace evenkeel::ops
