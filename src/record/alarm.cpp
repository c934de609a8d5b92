#include "record/alarm.h"

namespace evenkeel::record {

std::span<const Named<Alarm::Kind>> names_of(Alarm::Kind) {
  using Kind = Alarm::Kind;
  static constexpr Named<Kind> names[] = {
      {"one_expert", Kind::one_expert}, {"same_experts", Kind::same_experts}, {"unused_experts", Kind::unused_experts},
      {"no_scores", Kind::no_scores},   {"no_gradient", Kind::no_gradient},   {"no_effect", Kind::no_effect},
      {"no_balance", Kind::no_balance}, {"not_causal", Kind::not_causal}};
  return names;
}

}  // namespace evenkeel::record
