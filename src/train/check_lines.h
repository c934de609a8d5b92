// Whether lines of metrics.jsonl are those of the run's resolved.json.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "core/json.h"
#include "model/config.h"
#include "record/run_lines.h"
#include "train/step.h"

namespace evenkeel::train {

class LineCheck {
 public:
  // `resolved` has what require_resolved_recipe asks for. Where it says that the recipe was changed on the way, a line
  // may be of the recipe until then: what the change may have moved is not asked for.
  LineCheck(const Json& resolved, const model::ModelConfig& config);
  int64_t n_steps() const;  // of all phases
  // DataError "WHERE: got …" for a step, phase, count of tokens, source, objective or held-out set that is not of this
  // recipe, for a loss that is not the sum of its terms, for routing that is not of this model (its layers, its
  // experts, an MRI that is not of the load where every token has k experts, drops without a capacity), and as
  // check_evaluation.
  void check(const record::RunLine& line, const std::string& where) const;

 private:
  struct Phase {
    std::string name;
    int64_t last_step = 0;
    std::set<std::string> sources;       // that it may draw from
    bool replays_unknown = false;        // sources of a phase that a start brought along
    std::string objective;               // in words
    std::vector<std::string> held_out;   // names of its evaluation's sets, in order
    std::vector<std::string> scored_by;  // the objective of each
  };
  void add_phase(const Json& phases, size_t index);
  const Phase& phase_at(int64_t step) const;  // of the recipe: step 0 is of the first, one beyond the end of the last
  std::vector<std::string> held_out_at(int64_t step) const;  // those of all phases at step 0, where a baseline is
  void check_place(const record::RunLine& line, const std::string& where) const;
  void check_step(const record::StepRow& row, const std::string& where) const;
  void check_sources(const record::StepRow& row, const std::string& where) const;
  void check_objective(const record::StepRow& row, const std::string& where) const;
  void check_objective(const record::EvaluationRow& row, const std::string& where) const;
  void check_loss(const record::StepRow& row, const std::string& where) const;
  void check_held_out(const record::EvaluationRow& row, const std::string& where) const;
  void check_saturation(const record::SaturationRow& row, const std::string& where) const;
  void check_routing(const std::vector<record::LayerRouting>& routing, const std::string& where) const;
  void check_layer(const record::LayerRouting& layer, const std::string& where) const;
  std::vector<Phase> phases_;
  std::set<std::string> names_;  // of the phases, those of the recipes before a change among them
  bool is_changed_ = false;
  int64_t batch_size_ = 0, step_tokens_ = 0;
  std::vector<LossTerm> terms_;
  std::vector<int64_t> layers_;  // with experts
  int64_t n_experts_ = 0, k_ = 0;
  bool has_k_ = false;  // every token has k experts
  bool may_drop_ = false;
};

}  // namespace evenkeel::train
