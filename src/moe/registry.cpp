// The list of routers. To add one: its file in moe/routers, one line here, its test beside.
#include "moe/router.h"

#define EVENKEEL_ROUTERS(X)                                                                                       \
  X(top_k, "the k largest scores of each token; needs a balance loss")                                            \
  X(sinkhorn, "the k largest of a balanced plan in training, plain top-k at evaluation")                          \
  X(loss_free, "the k largest of score + a bias that after each step moves against the load")                     \
  X(quantile, "the k largest of logit - a quantile that would have balanced the step before")                     \
  X(expert_choice, "each expert takes its best tokens of the micro-batch (a sequence at evaluation); not causal") \
  X(base, "top-1 by a balancing auction in training, the largest affinity at evaluation")                         \
  X(hash, "top-1 by a fixed table of token ids; learns nothing")                                                  \
  X(random, "k experts drawn anew for each token; learns nothing, to compare with")                               \
  X(uniform, "k experts in turn, exactly balanced; learns nothing, to measure with")

namespace evenkeel::moe {

#define X(name, help) RouterFactory name##_router();
EVENKEEL_ROUTERS(X)
#undef X

const std::vector<RouterKind>& router_kinds() {
#define X(name, help) {#name, help, name##_router()},
  static const std::vector<RouterKind> kinds = {EVENKEEL_ROUTERS(X)};
#undef X
  return kinds;
}

std::vector<ConfigKey> router_keys(const std::string& path) { return keys_of_kinds(router_kinds(), path); }

std::unique_ptr<Router> make_router(const RouterShape& shape, const ConfigNode& config) {
  return chosen_kind(router_kinds(), kRouterTable, config).factory.make(shape, config);
}

}  // namespace evenkeel::moe
