#include "moe/capacity.h"

namespace evenkeel::moe {

void apply_capacity(const CapacityConfig& config, const RouterInput&, RoutingDecision&) {
  if (config.is_dropless()) return;
}

}  // namespace evenkeel::moe
