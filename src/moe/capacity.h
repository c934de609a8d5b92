// Drops: which assignments are over an expert's capacity, and what the experts run after that.
#pragma once

#include "moe/capacity_config.h"
#include "moe/router.h"

namespace evenkeel::moe {

// Marks what is over capacity in decision.dropped [N] bool, sets decision.capacity (of the largest group) and
// makes the weights of dropped assignments 0, with zero gradient; renormalises the others where the rule says so
// (differentiable). Nothing happens for a dropless config.
//
// The assignments of a group of tokens compete: in Mode::train the micro-batch or its groups, in Mode::eval a
// sequence or its groups, so that the batch size does not matter. Padding takes no place at an expert, is no part of
// the T that C is computed from, and is marked as dropped. The borders of groups that are `cut` lie on places, padding
// included (moe/token_groups.h); `flaxformer` makes its groups of the tokens that are left. The decision must come from
// a router that gives every token its k experts (RouterTraits::exactly_k). No gradient flows through the choice of what
// is dropped.
void apply_capacity(const CapacityConfig& config, const RouterInput& input, RoutingDecision& decision);

// What the experts run, ascending by token.
struct Assignments {
  at::Tensor token_ids;   // [M] i64
  at::Tensor expert_ids;  // [M] i64
  at::Tensor weights;     // [M] dtype of the decision's, differentiable
};
// The decision without padding and what was dropped. With config.pad every expert gets as many rows in each group as
// its capacity, at most one a token: what is missing is made of the group's first tokens that did not choose the
// expert, with weight 0. They cost what other rows cost and change neither outputs nor gradients.
Assignments kept_assignments(const CapacityConfig& config, const RouterInput& input, const RoutingDecision& decision);

}  // namespace evenkeel::moe
