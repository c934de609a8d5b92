#include "ops/packing.h"

namespace evenkeel::ops {
namespace {

size_t dimension_of_rows(const Packing& packing) { return packing.is_stacked ? 1 : 0; }

}  // namespace

std::vector<int64_t> part_shape(const std::vector<int64_t>& shape, const Packing& packing, size_t part) {
  auto out = shape;
  if (!packing.parts.empty()) out.at(dimension_of_rows(packing)) = packing.parts.at(part).rows;
  return out;
}

at::Tensor part_of(const at::Tensor& parameter, const Packing& packing, size_t part) {
  if (packing.parts.empty()) return parameter;
  int64_t begin = 0;
  for (size_t i = 0; i < part; ++i) begin += packing.parts[i].rows;
  return parameter.narrow(static_cast<int64_t>(dimension_of_rows(packing)), begin, packing.parts.at(part).rows);
}

std::string part_suffix(const Packing& packing, size_t part) {
  return packing.parts.size() < 2 ? "" : "." + packing.parts.at(part).name;
}

}  // namespace evenkeel::ops
