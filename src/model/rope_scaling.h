// rope_scaling of [model]: a table whose `kind` names one of the scalings of ops/rotary.h.
#pragma once

#include <string>
#include <vector>

#include "core/config_keys.h"
#include "ops/rotary.h"

namespace evenkeel::model {

struct RopeScaling {
  ops::RotaryScaling value = ops::NoScaling{};
  bool operator==(const RopeScaling&) const = default;
};
// ConfigError for an unknown kind, for keys that the kind does not read, and for values that it cannot have.
void read_value(const ConfigNode& node, const std::string& path, RopeScaling& out);
Json to_json(const RopeScaling& scaling);  // {"kind": …} with every key
inline std::string type_of(const RopeScaling&) { return "table"; }
void list_keys(const RopeScaling& scaling, const std::string& path, std::vector<ConfigKey>& out);  // of all kinds

// What a pair count asks of a scaling: longrope has a divisor for each. ConfigError with `where`.
void check_rope_scaling(const RopeScaling& scaling, int64_t n_pairs, const std::string& where);

}  // namespace evenkeel::model
