#include "model/pass.h"

#include <stdexcept>

#include <ATen/ops/arange.h>

#include "ops/attention.h"

namespace evenkeel::model {

Pass::Pass(const ModelInput& input, const std::vector<ops::Params>& router_states, const std::vector<ops::Rotation>& rotations, at::ScalarType dtype)
    : input_(input), router_states_(router_states) {
  const bool has_documents = input.document_ids.defined();
  if (has_documents || input.is_prefix.defined()) mask_ = ops::attention_mask(input.document_ids, input.is_prefix, dtype);
  const auto positions = has_documents ? ops::positions_in_document(input.document_ids).reshape({-1})
                                       : at::arange(input.tokens.size(1), input.tokens.options());
  for (const auto& rotation : rotations) {
    const bool is_there = std::any_of(tables_.begin(), tables_.end(), [&](const auto& entry) { return entry.first == rotation; });
    if (!is_there) tables_.emplace_back(rotation, ops::make_rotary_table(positions, ops::rotary_frequencies(rotation), dtype));
  }
}

const ops::RotaryTable& Pass::rotary(const ops::Rotation& rotation) const {
  for (const auto& [known, table] : tables_)
    if (known == rotation) return table;
  throw std::logic_error("a layer uses a rotation that it did not ask for");
}

}  // namespace evenkeel::model
