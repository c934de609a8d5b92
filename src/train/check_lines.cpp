#include "train/check_lines.h"

#include <algorithm>
#include <cmath>

#include "core/counted.h"
#include "core/errors.h"
#include "core/json_difference.h"
#include "core/json_value.h"
#include "model/layout.h"
#include "moe/router.h"
#include "train/check_evaluation.h"
#include "train/objective_words.h"

namespace evenkeel::train {

namespace {

std::string listed(const auto& names) {
  std::string all;
  for (const auto& name : names) add_to_list(all, name);
  return all.empty() ? "none" : all;
}

std::vector<std::string> names_in(const Json& sets) {
  std::vector<std::string> out;
  for (const auto& set : sets.as_array()) out.push_back(set.at("name").as_string());
  return out;
}

}  // namespace

LineCheck::LineCheck(const Json& resolved, const model::ModelConfig& config) {
  for (size_t i = 0; i < resolved.at("phase").size(); ++i) add_phase(resolved.at("phase"), i);
  const Json* changed = resolved.find("changed");
  is_changed_ = changed != nullptr && changed->size() > 0;
  if (is_changed_)
    for (const auto& change : changed->as_array())
      for (const auto& phase : change.at("from").at("phase").as_array()) names_.insert(phase.at("name").as_string());
  batch_size_ = resolved.at("train").at("batch_size").as_int();
  step_tokens_ = batch_size_ * resolved.at("train").at("sequence_length").as_int();
  layers_ = model::layers_with_experts(config);
  n_experts_ = config.n_experts;
  k_ = config.top_k;
  const auto router = config.is_moe() ? moe::make_router(config.router_shape(), config.router) : nullptr;
  const Json* logit_z = resolved.at("train").find("logit_z_coefficient");  // none in a run of an earlier version
  terms_ = loss_terms(config, router.get(), logit_z != nullptr ? logit_z->as_double() : 0);
  has_k_ = router != nullptr && !is_changed_ && router->traits().exactly_k;
  may_drop_ = is_changed_ || !config.capacity.is_dropless();
}

void LineCheck::add_phase(const Json& phases, size_t index) {
  const Json& json = phases.at(index);
  Phase phase;
  phase.name = json.at("name").as_string();
  phase.last_step = json.at("steps").as_int() + (phases_.empty() ? 0 : phases_.back().last_step);
  for (auto& name : names_in(json.at("data"))) phase.sources.insert(std::move(name));
  if (const Json* replay = find_value(json, "replay")) {
    const Json* from = find_value(*replay, "from");
    const std::string earlier = from != nullptr ? from->as_string() : "";
    std::vector<std::string> replayed;
    if (const Json* data = find_value(*replay, "data")) replayed = names_in(*data);
    phase.replays_unknown = !earlier.empty();
    for (const auto& other : phases_) {
      if (earlier.empty() || other.name != earlier) continue;
      phase.replays_unknown = false;
      for (const auto& name : other.sources)
        if (!name.starts_with("replay/")) replayed.push_back(name);
    }
    for (const auto& name : replayed) phase.sources.insert("replay/" + name);
  }
  phase.objective = objective_words(phases, index);
  if (const Json* eval = find_value(json, "eval")) phase.held_out = names_in(eval->at("data"));
  for (const auto& name : phase.held_out) phase.scored_by.push_back(eval_objective(json, name));
  names_.insert(phase.name);
  phases_.push_back(std::move(phase));
}

int64_t LineCheck::n_steps() const { return phases_.back().last_step; }

const LineCheck::Phase& LineCheck::phase_at(int64_t step) const {
  const auto found =
      std::find_if(phases_.begin(), phases_.end(), [&](const Phase& phase) { return step <= phase.last_step; });
  return found != phases_.end() ? *found : phases_.back();
}

void LineCheck::check_place(const record::RunLine& line, const std::string& where) const {
  const int64_t step = step_of(line);
  const std::string& name = phase_of(line);
  require<DataError>(names_.contains(name), where, ": got the phase '", name,
                     "'; need one of resolved.json: ", listed(names_));
  if (is_changed_) return;
  require<DataError>(step <= n_steps(), where, ": got step ", step, "; need at most ", n_steps(),
                     ", the steps of resolved.json");
  const Phase& phase = phase_at(step);
  require<DataError>(name == phase.name, where, ": got step ", step, " in phase '", name, "'; need '", phase.name,
                     "', as resolved.json says");
  const auto* row = std::get_if<record::StepRow>(&line);
  if (row == nullptr) return;
  const int64_t before = &phase == &phases_.front() ? 0 : (&phase - 1)->last_step;
  require<DataError>(row->phase_step == step - before, where, ": got ", row->phase_step, " as 'phase_step' of step ",
                     step, "; need ", step - before, ", as resolved.json says");
  require<DataError>(row->tokens == step * step_tokens_, where, ": got ", row->tokens, " as 'tokens' of step ", step,
                     "; need ", step * step_tokens_, ", as resolved.json says");
  require<DataError>(row->seconds > 0, where, ": got ", row->seconds, " as 'seconds' of step ", step,
                     "; need more than 0");
  const double speed = static_cast<double>(step_tokens_) / row->seconds;
  require<DataError>(std::abs(row->tokens_per_second - speed) <= kRounding * speed, where, ": got ",
                     row->tokens_per_second, " as 'tokens_per_second' of step ", step, "; need ", speed, ", ",
                     step_tokens_, " tokens in its 'seconds'");
}

void LineCheck::check_step(const record::StepRow& row, const std::string& where) const {
  check_routing(row.routing, where);
  for (const auto& layer : row.routing)
    require<DataError>(!layer.mri_se, where, ": got ", layer.mri_se.value_or(0), " as 'mri_se' of layer ", layer.layer,
                       " of a step; need none, since held-out sets alone have it");
  if (is_changed_) return;
  check_sources(row, where);
  check_objective(row, where);
  check_loss(row, where);
}

void LineCheck::check_objective(const record::StepRow& row, const std::string& where) const {
  const Phase& phase = phase_at(row.step);
  require<DataError>(!row.objective || *row.objective == phase.objective, where, ": got '", row.objective.value_or(""),
                     "' as 'objective'; need '", phase.objective, "', that of phase '", phase.name,
                     "' in resolved.json");
}

void LineCheck::check_objective(const record::EvaluationRow& row, const std::string& where) const {
  for (const auto& [data, result] : row.eval) {
    const std::string got = result.objective.value_or("causal");
    for (const auto& phase : phases_) {  // a name has one objective, whatever the phase
      const auto found = std::find(phase.held_out.begin(), phase.held_out.end(), data);
      if (found == phase.held_out.end()) continue;
      const std::string& needed = phase.scored_by[static_cast<size_t>(found - phase.held_out.begin())];
      require<DataError>(got == needed, where, ": got '", got, "' as 'objective' of '", data, "'; need '", needed,
                         "', as resolved.json says");
    }
  }
}

void LineCheck::check_sources(const record::StepRow& row, const std::string& where) const {
  const Phase& phase = phase_at(row.step);
  int64_t n_sequences = 0;
  for (const auto& [name, count] : row.sources) {
    const bool is_known =
        phase.sources.contains(name) || (phase.replays_unknown && std::string_view(name).starts_with("replay/"));
    require<DataError>(is_known, where, ": got the source '", name, "'; need those of phase '", phase.name,
                       "' in resolved.json: ", listed(phase.sources));
    n_sequences += count;
  }
  require<DataError>(n_sequences == batch_size_, where, ": got ", counted(n_sequences, "sequence"),
                     " of all 'sources' together; need ", batch_size_, ", the batch_size of resolved.json");
}

void LineCheck::check_loss(const record::StepRow& row, const std::string& where) const {
  std::vector<std::string> got, needed;
  for (const auto& [name, value] : row.loss_terms) got.push_back(name);
  for (const auto& term : terms_) needed.push_back(term.name);
  require<DataError>(got == needed, where, ": got the terms ", listed(got), " in 'loss_terms'; need ", listed(needed),
                     ", those of resolved.json");
  double sum = 0, size = 1;
  for (size_t i = 0; i < terms_.size(); ++i) {
    const double part = terms_[i].coefficient * row.loss_terms[i].second;
    sum += part;
    size += std::abs(part);
  }
  require<DataError>(std::abs(row.loss - sum) <= kRounding * size, where, ": got ", row.loss, " as 'loss'; need ", sum,
                     ", the sum of its 'loss_terms', each times its coefficient in resolved.json");
}

std::vector<std::string> LineCheck::held_out_at(int64_t step) const {
  if (step > 0) return phase_at(step).held_out;
  std::vector<std::string> out;
  for (const auto& phase : phases_)
    for (const auto& name : phase.held_out)
      if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  return out;
}

void LineCheck::check_held_out(const record::EvaluationRow& row, const std::string& where) const {
  std::vector<std::string> got;
  for (const auto& [data, result] : row.eval) got.push_back(data);
  if (const auto needed = held_out_at(row.step); !is_changed_)
    require<DataError>(got == needed, where, ": got the held-out sets ", listed(got), "; need ", listed(needed),
                       ", those of resolved.json");
  if (!is_changed_) check_objective(row, where);
  for (const auto& [data, result] : row.eval) {
    check_routing(result.routing, where);
    check_evaluation({data, result, where});
  }
}

void LineCheck::check_saturation(const record::SaturationRow& row, const std::string& where) const {
  for (const auto& [data, layers] : row.saturation) {
    const auto& known = phase_at(row.step).held_out;
    require<DataError>(is_changed_ || std::find(known.begin(), known.end(), data) != known.end(), where,
                       ": got the saturation on '", data, "'; need one of resolved.json: ", listed(known));
    for (const auto& layer : layers)
      require<DataError>(std::find(layers_.begin(), layers_.end(), layer.layer) != layers_.end(), where,
                         ": got the saturation of layer ", layer.layer, "; need one of ", Json(layers_).dump(),
                         ", those with experts of resolved.json");
  }
}

void LineCheck::check_routing(const std::vector<record::LayerRouting>& routing, const std::string& where) const {
  std::vector<int64_t> layers;
  for (const auto& layer : routing) layers.push_back(layer.layer);
  require<DataError>(layers.size() == layers_.size(), where, ": got ",
                     counted(static_cast<int64_t>(layers.size()), "layer"), " of 'routing'; need ", layers_.size(),
                     ", the layers with experts of resolved.json");
  require<DataError>(layers == layers_, where, ": got the layers ", Json(layers).dump(), " in 'routing'; need ",
                     Json(layers_).dump(), ", those with experts of resolved.json");
  for (const auto& layer : routing) check_layer(layer, where);
}

void LineCheck::check_layer(const record::LayerRouting& layer, const std::string& where) const {
  require<DataError>(layer.dead <= n_experts_, where, ": got ", layer.dead, " as 'dead' of layer ", layer.layer,
                     "; need at most ", n_experts_, ", the experts of resolved.json");
  require<DataError>(may_drop_ || layer.dropped == 0, where, ": got ", layer.dropped, " as 'dropped' of layer ",
                     layer.layer, "; need 0, since resolved.json has no rule of capacity");
  if (layer.load.empty()) return;
  require<DataError>(static_cast<int64_t>(layer.load.size()) == n_experts_, where, ": got ",
                     counted(static_cast<int64_t>(layer.load.size()), "share"), " in a 'load'; need ", n_experts_,
                     ", the experts of resolved.json");
  const double needed = static_cast<double>(k_) * *std::max_element(layer.load.begin(), layer.load.end());
  require<DataError>(!has_k_ || std::abs(layer.mri - needed) <= kRounding, where, ": got ", layer.mri,
                     " as 'mri' of layer ", layer.layer, "; need ", needed, ", the largest share of its 'load' times ",
                     k_, " experts a token");
}

void LineCheck::check(const record::RunLine& line, const std::string& where) const {
  check_place(line, where);
  if (const auto* row = std::get_if<record::StepRow>(&line)) check_step(*row, where);
  if (const auto* row = std::get_if<record::EvaluationRow>(&line)) check_held_out(*row, where);
  if (const auto* row = std::get_if<record::SaturationRow>(&line)) check_saturation(*row, where);
}

}  // namespace evenkeel::train
