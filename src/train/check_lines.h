// Whether lines of metrics.jsonl are those of the run's resolved.json.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/json.h"
#include "model/config.h"
#include "record/run_lines.h"

namespace evenkeel::train {

class LineCheck {
 public:
  // `resolved` has what require_resolved_recipe asks for. Where it says that the recipe was changed on the way, a line
  // may be of the recipe until then: what the change may have moved is not asked for.
  LineCheck(const Json& resolved, const model::ModelConfig& config);
  int64_t n_steps() const;  // of all phases
  // DataError "WHERE: got …" for a step, phase or count of tokens that is not of this recipe, or for routing that is
  // not of this model: its layers, its experts, and an MRI that is not of the load where every token has k experts.
  void check(const record::RunLine& line, const std::string& where) const;

 private:
  struct Phase {
    std::string name;
    int64_t last_step;
  };
  void check_place(const record::RunLine& line, const std::string& where) const;
  void check_routing(const std::vector<record::LayerRouting>& routing, const std::string& where) const;
  std::vector<Phase> phases_;
  std::set<std::string> names_;  // of the phases, those of the recipes before a change among them
  bool is_changed_ = false;
  int64_t step_tokens_ = 0;
  std::vector<int64_t> layers_;  // with experts
  int64_t n_experts_ = 0, k_ = 0;
  bool has_k_ = false;  // every token has k experts
};

}  // namespace evenkeel::train
