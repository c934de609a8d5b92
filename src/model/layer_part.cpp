#include "model/layer_part.h"

#include <cmath>

namespace evenkeel::model {

int64_t ParamSpec::n_elements() const {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return n;
}

int64_t ParamSpec::n_active() const { return std::llround(static_cast<double>(n_elements()) * share); }

size_t LayerPart::add(ParamSpec spec) {
  int64_t rows = 0;
  for (const auto& part : spec.packing.parts) rows += part.rows;
  const size_t dimension = spec.packing.is_stacked ? 1 : 0;
  if (!spec.packing.parts.empty() && rows != spec.shape.at(dimension))
    throw std::logic_error("the parts of " + spec.name + " do not have its rows");
  parameters_.push_back(std::move(spec));
  return parameters_.size() - 1;
}

double LayerPart::flops_per_token(int64_t sequence_length) const {
  double flops = other_flops_per_token(sequence_length);
  for (const auto& spec : parameters_)
    if (is_matrix(spec.role)) flops += 2.0 * static_cast<double>(spec.n_active());
  return flops;
}

double LayerPart::other_flops_per_token(int64_t) const { return 0; }

}  // namespace evenkeel::model
