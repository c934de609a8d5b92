// Causal multi-head attention over projected heads.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// How scores become weights.
struct AttentionForm {
  at::Tensor mask = {};  // added to the scores (attention_mask); undefined: position s sees positions <= s
  double scale = 0;      // of the scores; 0 = 1 / sqrt(D)
  // [heads] of the type of the query: a logit beside the scores of each position, which takes its share of the softmax
  // and has no value (gpt-oss). Undefined: none. Not scaled; differentiable. On the CPU, with values as wide as keys,
  // they keep no [S, S]; elsewhere they keep two of each head.
  at::Tensor sinks = {};
};

// query [B, S, heads, D], key [B, S, kv_heads, D], value [B, S, kv_heads, Dv], heads a multiple of kv_heads ->
// [B, S, heads * Dv]. Differentiable in the first three and in the sinks.
at::Tensor causal_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const AttentionForm& form = {});

// Which of the positions up to its own a position sees.
struct Sight {
  // The last so many, its own among them (transformers: key t is visible iff s - t < window); 0 = all.
  int64_t window = 0;
  bool operator==(const Sight&) const = default;
};

// How many positions one sees on average in a sequence of this length, where all up to its own count as length / 2.
double mean_seen(const Sight& sight, int64_t length);

// What a sequence is made of. Either may be undefined.
struct SequenceParts {
  at::Tensor segments;   // [B, S] of any integer type, a number of its own for each segment (segment_starts)
  at::Tensor is_prefix;  // [B, S] bool
};

// The mask of a sight, [B, 1, S, S] of `dtype`, or [1, 1, S, S] where it is the same for all sequences: 0 where
// position s sees position t, -inf elsewhere. With segments s sees those of its own alone, and where both are of a
// prefix the later ones too. Undefined where each position sees all up to its own.
at::Tensor attention_mask(const Sight& sight, const SequenceParts& parts, int64_t length, at::TensorOptions options);

// A segment begins where the document changes, also where an earlier id comes back. document_ids [B, S] -> the first
// position of each token's segment, [B, S] i64: what names it, and what its positions are counted from.
at::Tensor segment_starts(const at::Tensor& document_ids);

}  // namespace evenkeel::ops
