#include "model/pass.h"

#include <stdexcept>

#include <ATen/ops/arange.h>

#include "ops/attention.h"

namespace evenkeel::model {

Pass::Pass(ModelInput input, std::vector<ops::Params> router_states, const std::vector<ops::Rotation>& rotations,
           at::ScalarType dtype)
    : input_(std::move(input)), router_states_(std::move(router_states)) {
  auto positions =
      at::arange(input_.tokens.size(1), input_.tokens.options());  // [S]; [B * S] where they differ between sequences
  at::Tensor segments;
  if (input_.document_ids.defined()) {
    segments = ops::segment_starts(input_.document_ids);
    positions = (positions - segments).reshape({-1});
  }
  if (segments.defined() || input_.is_prefix.defined()) mask_ = ops::attention_mask(segments, input_.is_prefix, dtype);
  for (const auto& rotation : rotations) {
    const bool is_there =
        std::any_of(tables_.begin(), tables_.end(), [&](const auto& entry) { return entry.first == rotation; });
    if (!is_there)
      tables_.emplace_back(rotation, ops::make_rotary_table(positions, ops::rotary_frequencies(rotation), dtype));
  }
}

const ops::RotaryTable& Pass::rotary(const ops::Rotation& rotation) const {
  for (const auto& [known, table] : tables_)
    if (known == rotation) return table;
  throw std::logic_error("a layer uses a rotation that it did not ask for");
}

}  // namespace evenkeel::model
