// Which matrices lie in one stored parameter. A layer keeps its experts stacked, and projections of one input in one
// matrix, for speed; released models, and whatever works a matrix at a time, see them apart.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

struct PackedPart {
  std::string name;  // "q", "gate"
  int64_t rows = 0;
  bool operator==(const PackedPart&) const = default;
};

// Of a parameter [rows, columns] or [rows]; with is_stacked [E, rows, columns] or [E, rows].
struct Packing {
  bool is_stacked = false;             // the first dimension counts experts, each with matrices of its own
  std::vector<PackedPart> parts = {};  // whose rows follow one another; empty: all rows are of one matrix
  size_t n_parts() const { return parts.empty() ? 1 : parts.size(); }
  bool operator==(const Packing&) const = default;
};

// The shape of one part of a parameter of this shape, the experts' dimension among it.
std::vector<int64_t> part_shape(const std::vector<int64_t>& shape, const Packing& packing, size_t part);
// The part as a view.
at::Tensor part_of(const at::Tensor& parameter, const Packing& packing, size_t part);
// "": there is one part alone. Else a dot and its name.
std::string part_suffix(const Packing& packing, size_t part);

}  // namespace evenkeel::ops
