#include "train/check_lines.h"

#include <algorithm>
#include <cmath>

#include "core/counted.h"
#include "core/errors.h"
#include "model/layout.h"
#include "moe/router.h"

namespace evenkeel::train {

LineCheck::LineCheck(const Json& resolved, const model::ModelConfig& config) {
  int64_t last = 0;
  for (const auto& phase : resolved.at("phase").as_array()) {
    last += phase.at("steps").as_int();
    phases_.push_back({phase.at("name").as_string(), last});
    names_.insert(phases_.back().name);
  }
  const Json* changed = resolved.find("changed");
  is_changed_ = changed != nullptr && changed->size() > 0;
  if (is_changed_)
    for (const auto& change : changed->as_array())
      for (const auto& phase : change.at("from").at("phase").as_array()) names_.insert(phase.at("name").as_string());
  step_tokens_ = resolved.at("train").at("batch_size").as_int() * resolved.at("train").at("sequence_length").as_int();
  layers_ = model::layers_with_experts(config);
  n_experts_ = config.n_experts;
  k_ = config.top_k;
  has_k_ =
      config.is_moe() && !is_changed_ && moe::make_router(config.router_shape(), config.router)->traits().exactly_k;
}

int64_t LineCheck::n_steps() const { return phases_.back().last_step; }

void LineCheck::check_place(const record::RunLine& line, const std::string& where) const {
  const int64_t step = step_of(line);
  const std::string& name = phase_of(line);
  require<DataError>(names_.contains(name), where, ": got the phase '", name, "'; need one of resolved.json: ", [&] {
    std::string all;
    for (const auto& known : names_) add_to_list(all, known);
    return all;
  }());
  if (is_changed_) return;
  require<DataError>(step <= n_steps(), where, ": got step ", step, "; need at most ", n_steps(),
                     ", the steps of resolved.json");
  int64_t before = 0;
  auto phase = phases_.begin();
  while (phase->last_step < step) before = (phase++)->last_step;
  require<DataError>(name == phase->name, where, ": got step ", step, " in phase '", name, "'; need '", phase->name,
                     "', as resolved.json says");
  const auto* row = std::get_if<record::StepRow>(&line);
  if (row == nullptr) return;
  require<DataError>(row->phase_step == step - before, where, ": got ", row->phase_step, " as 'phase_step' of step ",
                     step, "; need ", step - before, ", as resolved.json says");
  require<DataError>(row->tokens == step * step_tokens_, where, ": got ", row->tokens, " as 'tokens' of step ", step,
                     "; need ", step * step_tokens_, ", as resolved.json says");
}

void LineCheck::check_routing(const std::vector<record::LayerRouting>& routing, const std::string& where) const {
  constexpr double kRounding = 1e-9;  // of quotients of whole numbers
  std::vector<int64_t> layers;
  for (const auto& layer : routing) layers.push_back(layer.layer);
  require<DataError>(layers.size() == layers_.size(), where, ": got ",
                     counted(static_cast<int64_t>(layers.size()), "layer"), " of 'routing'; need ", layers_.size(),
                     ", the layers with experts of resolved.json");
  require<DataError>(layers == layers_, where, ": got the layers ", Json(layers).dump(), " in 'routing'; need ",
                     Json(layers_).dump(), ", those with experts of resolved.json");
  for (const auto& layer : routing) {
    require<DataError>(layer.dead <= n_experts_, where, ": got ", layer.dead, " as 'dead' of layer ", layer.layer,
                       "; need at most ", n_experts_, ", the experts of resolved.json");
    if (layer.load.empty()) continue;
    require<DataError>(static_cast<int64_t>(layer.load.size()) == n_experts_, where, ": got ",
                       counted(static_cast<int64_t>(layer.load.size()), "share"), " in a 'load'; need ", n_experts_,
                       ", the experts of resolved.json");
    const double needed = static_cast<double>(k_) * *std::max_element(layer.load.begin(), layer.load.end());
    require<DataError>(!has_k_ || std::abs(layer.mri - needed) <= kRounding, where, ": got ", layer.mri,
                       " as 'mri' of layer ", layer.layer, "; need ", needed,
                       ", the largest share of its 'load' times ", k_, " experts a token");
  }
}

void LineCheck::check(const record::RunLine& line, const std::string& where) const {
  check_place(line, where);
  if (const auto* row = std::get_if<record::StepRow>(&line)) check_routing(row->routing, where);
  if (const auto* row = std::get_if<record::EvaluationRow>(&line))
    for (const auto& [data, result] : row->eval) check_routing(result.routing, where);
  if (const auto* row = std::get_if<record::SaturationRow>(&line))
    for (const auto& [data, layers] : row->saturation)
      for (const auto& layer : layers)
        require<DataError>(std::find(layers_.begin(), layers_.end(), layer.layer) != layers_.end(), where,
                           ": got the saturation of layer ", layer.layer, "; need one of ", Json(layers_).dump(),
                           ", those with experts of resolved.json");
}

}  // namespace evenkeel::train
