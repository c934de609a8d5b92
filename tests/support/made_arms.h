// Arms of a study that never ran: what their recipes say. Phase one of the tiny recipe learns "a", phase two "b".
#pragma once

#include <string>
#include <vector>

#include "support/tiny_run.h"
#include "train/results.h"

namespace evenkeel::testing {

// With a held-out set for each of both phases' data, of their names.
inline train::Arm made_arm(const std::string& name, const std::string& group,
                           const std::vector<std::string>& overrides = {}) {
  std::vector<std::string> all = {
      "phase.one.eval={data = [{name = \"a\", path = \"/held/a\"}, {name = \"b\", path = \"/held/b\"}]}"};
  all.insert(all.end(), overrides.begin(), overrides.end());
  train::Arm arm;
  arm.name = name;
  arm.group = group;
  arm.resolved = train::run_config_json(tiny_config("/data", all));
  return arm;
}

// The arm of a group with this seed: "GROUP-seedN".
inline train::Arm seeded_arm(const std::string& group, const std::vector<std::string>& overrides, int64_t seed = 1) {
  std::vector<std::string> all = {"train.seed=" + std::to_string(seed)};
  all.insert(all.end(), overrides.begin(), overrides.end());
  return made_arm(group + "-seed" + std::to_string(seed), group, all);
}

}  // namespace evenkeel::testing
