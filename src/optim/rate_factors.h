// Which parameters learn slower, or not at all.
#pragma once

#include <string>
#include <vector>

namespace evenkeel::optim {

struct RateFactors {
  // On the learning rate, in the order of the parameters. 0: frozen. Empty: all are 1.
  std::vector<double> values = {};
  double of(size_t parameter) const { return values.empty() ? 1.0 : values.at(parameter); }
  bool is_frozen(size_t parameter) const { return of(parameter) == 0; }
};

// True when `name` fits `pattern`: '*' stands for any characters, also none.
bool matches_pattern(const std::string& name, const std::string& pattern);

}  // namespace evenkeel::optim
