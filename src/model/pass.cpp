#include "model/pass.h"

#include <algorithm>
#include <stdexcept>

#include <ATen/ops/arange.h>

namespace evenkeel::model {
namespace {

template <class Need, class Made>
const Made* find_made(const std::vector<std::pair<Need, Made>>& list, const Need& need) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const auto& entry) { return entry.first == need; });
  return found == list.end() ? nullptr : &found->second;
}

template <class Need, class Made>
const Made& made_for(const std::vector<std::pair<Need, Made>>& list, const Need& need, const char* what) {
  if (const Made* made = find_made(list, need)) return *made;
  throw std::logic_error(std::string("a layer uses a ") + what + " that it did not ask for");
}

// One for each need that differs.
template <class Need, class Make>
auto make_each(const std::vector<Need>& needs, const Make& make) {
  std::vector<std::pair<Need, decltype(make(needs[0]))>> out;
  for (const auto& need : needs)
    if (find_made(out, need) == nullptr) out.emplace_back(need, make(need));
  return out;
}

}  // namespace

Pass::Pass(ModelInput input, std::vector<ops::Params> router_states, const PassNeeds& needs, at::ScalarType dtype)
    : input_(std::move(input)), router_states_(std::move(router_states)) {
  const int64_t length = input_.tokens.size(1);
  auto positions = at::arange(length, input_.tokens.options());  // [S]; [B * S] where they differ between sequences
  ops::SequenceParts parts{{}, input_.is_prefix};
  if (input_.document_ids.defined()) {
    parts.segments = ops::segment_starts(input_.document_ids);
    positions = (positions - parts.segments).reshape({-1});
  }
  tables_ = make_each(needs.rotations, [&](const ops::Rotation& rotation) {
    return ops::make_rotary_table(rotation, positions, length, dtype);
  });
  masks_ = make_each(needs.sights, [&](const ops::Sight& sight) {
    return ops::attention_mask(sight, parts, length, input_.tokens.options().dtype(dtype));
  });
}

const at::Tensor& Pass::mask(const ops::Sight& sight) const { return made_for(masks_, sight, "mask"); }
const ops::RotaryTable& Pass::rotary(const ops::Rotation& rotation) const {
  return made_for(tables_, rotation, "rotation");
}

}  // namespace evenkeel::model
