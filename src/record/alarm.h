// What the checks of a run find: an entry of "alarms" in a step's line, or of what its evaluations show.
#pragma once

#include <optional>
#include <string>
#include <tuple>

#include "core/columns.h"

namespace evenkeel::record {

struct Alarm {
  enum class Kind {
    one_expert,      // collapse: nearly all tokens have one expert among their k
    same_experts,    // collapse: k experts have nearly all assignments of more than k
    unused_experts,  // collapse: of an evaluation, more than half of a layer's experts without a token
    no_scores,       // collapse: of a sigmoid or sqrtsoftplus router, shrunk to nearly 0
    no_gradient,     // a router that the cross-entropy does not reach
    no_effect,       // a coefficient that changes nothing in a router
    no_balance,      // a router that needs a balance loss and has none
    not_causal
  };
  static constexpr std::nullopt_t kAllLayers = std::nullopt;
  static constexpr double kNearlyAll = 0.98;    // of the tokens, or of the assignments
  static constexpr int64_t kFewestTokens = 32;  // of fewer, chance alone can agree
  std::optional<int64_t> layer;                 // kAllLayers: the whole model
  Kind kind = Kind::one_expert;
  std::string text;

  bool is_collapse() const { return kind <= Kind::no_scores; }
  bool operator<(const Alarm& other) const {
    return std::tie(kind, layer, text) < std::tie(other.kind, other.layer, other.text);
  }
  bool operator==(const Alarm& other) const = default;
  static void visit_columns(auto& row, auto&& visit) {
    visit("layer", row.layer);
    visit("kind", row.kind);
    visit("text", row.text);
  }
};
std::span<const Named<Alarm::Kind>> names_of(Alarm::Kind);

}  // namespace evenkeel::record
