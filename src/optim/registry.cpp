// The list of optimizers. To add one: its file in optim, one line here, its test beside.
#include "optim/optimizer.h"

#define EVENKEEL_OPTIMIZERS(X)                                                                    \
  X(adamw, "Adam with decoupled weight decay: two moments of every parameter (arXiv 1711.05101)") \
  X(adafactor, "a second moment by rows and columns of each matrix, rates relative to its size (arXiv 1804.04235)")

namespace evenkeel::optim {

#define X(name, help) OptimizerFactory name##_optimizer();
EVENKEEL_OPTIMIZERS(X)
#undef X

const std::vector<OptimizerKind>& optimizer_kinds() {
#define X(name, help) {#name, help, name##_optimizer()},
  static const std::vector<OptimizerKind> kinds = {EVENKEEL_OPTIMIZERS(X)};
#undef X
  return kinds;
}

std::vector<ConfigKey> optimizer_keys(const std::string& path) { return keys_of_kinds(optimizer_kinds(), path); }

std::unique_ptr<Optimizer> make_optimizer(const OptimizerPlace& place, const ConfigNode& config) {
  if (!config.is_table() && !config.is_empty()) fail_kind(config, kOptimizerTable.path, "a table");
  return chosen_kind(optimizer_kinds(), kOptimizerTable, config).factory.make(place, config);
}

}  // namespace evenkeel::optim
