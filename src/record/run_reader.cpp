#include "record/run_reader.h"

#include <algorithm>
#include <functional>

#include "core/counted.h"
#include "core/input_file.h"
#include "core/log.h"
#include "record/load_figures.h"

namespace evenkeel::record {

RunReader::RunReader(std::filesystem::path metrics, WantsLoad wants_load)
    : lines_(metrics), loads_path_(metrics.replace_filename("load.columns")), wants_load_(std::move(wants_load)) {}

std::optional<RunLine> RunReader::next() {
  const auto text = has_ended_ ? std::nullopt : lines_.next();
  if (!text) return std::nullopt;
  RunLine line = run_line(Json::parse(*text, place()), place());
  const int64_t reached = step_;
  take_place(line);
  has_ended_ = !find_loads(line);
  if (has_ended_) {
    step_ = reached;
    log_warning(loads_path_.string(), ": got no whole record for ", place(),
                "; the run is read as far as its loads go, as after a crash");
    return std::nullopt;
  }
  require_shape(line);
  require_progress(line);
  end_byte_ = lines_.end_byte();
  if (loads_ != nullptr) loads_end_byte_ = loads_->end_byte();
  return line;
}

// Steps are 1, 2, … without a hole; after a step, or before the first one, come at most one evaluation and one
// saturation of it.
void RunReader::take_place(const RunLine& line) {
  const int64_t step = step_of(line);
  const bool is_step = std::holds_alternative<StepRow>(line);
  const std::string kind = is_step                                       ? ""
                           : std::holds_alternative<EvaluationRow>(line) ? "the evaluation of "
                                                                         : "the saturation of ";
  require<DataError>(step == step_ || step == step_ + 1, place(), ": got ", kind, "step ", step, " after step ", step_,
                     "; need every step of the run in order");
  require<DataError>(step > 0 || !is_step, place(), ": got step 0; need 1 as the first step of the run");
  require<DataError>(is_step || step == step_, place(), ": got ", kind, "step ", step, " after step ", step_,
                     "; need the line of step ", step, " before it");
  if (step > step_) kinds_.clear();
  require<DataError>(kinds_.insert(line.index()).second, place(), ": got ", kind, "step ", step,
                     " a second time; need it once");
  step_ = step;
}

// The steps of a phase are 1, 2, …; a resume may have given a phase another name on its way. The tokens so far do not
// fall, and an evaluation has those of its step.
void RunReader::require_progress(const RunLine& line) {
  if (const auto* row = std::get_if<EvaluationRow>(&line))
    require<DataError>(row->step == 0 || row->tokens == tokens_, place(), ": got the evaluation of step ", row->step,
                       " at ", row->tokens, " tokens; need ", tokens_, ", as in the line of the step");
  const auto* row = std::get_if<StepRow>(&line);
  if (row == nullptr) return;
  const bool begins = row->phase != phase_;
  require<DataError>(row->phase_step == phase_step_ + 1 || (begins && row->phase_step == 1), place(), ": got ",
                     row->phase_step, " as 'phase_step' of phase '", row->phase, "'; need ",
                     begins ? 1 : phase_step_ + 1);
  require<DataError>(row->tokens >= tokens_, place(), ": got ", row->tokens, " as 'tokens' after ", tokens_,
                     "; need the tokens of the run so far, which do not fall");
  phase_ = row->phase;
  phase_step_ = row->phase_step;
  tokens_ = row->tokens;
}

// All lines have the same layers with experts, in order, and the same number of experts.
void RunReader::require_routing(const std::vector<LayerRouting>& routing) {
  std::vector<int64_t> layers;
  for (const auto& layer : routing) layers.push_back(layer.layer);
  require<DataError>(std::adjacent_find(layers.begin(), layers.end(), std::greater_equal<>()) == layers.end(), place(),
                     ": got the layers ", Json(layers).dump(), " in 'routing'; need each once, in order");
  if (!layers_) layers_ = layers;
  require<DataError>(layers.size() == layers_->size(), place(), ": got ",
                     counted(static_cast<int64_t>(layers.size()), "layer"), " of 'routing'; need ", layers_->size(),
                     ", as in the lines before");
  require<DataError>(layers == *layers_, place(), ": got the layers ", Json(layers).dump(), " in 'routing'; need ",
                     Json(*layers_).dump(), ", as in the lines before");
  for (const auto& layer : routing) {
    if (layer.load.empty()) continue;
    if (!n_experts_) n_experts_ = layer.load.size();
    require<DataError>(layer.load.size() == *n_experts_, place(), ": got ",
                       counted(static_cast<int64_t>(layer.load.size()), "share"), " in the 'load' of layer ",
                       layer.layer, "; need ", *n_experts_, ", as in the lines before");
    require_figures_of_load(layer, place());
  }
}

void RunReader::require_shape(const RunLine& line) {
  if (const auto* row = std::get_if<StepRow>(&line)) require_routing(row->routing);
  if (const auto* row = std::get_if<EvaluationRow>(&line))
    for (const auto& [data, result] : row->eval) require_routing(result.routing);
}

// False where they are not there.
bool RunReader::find_loads(RunLine& line) {
  if (auto* row = std::get_if<StepRow>(&line)) {
    const bool has_none = !row->routing.empty() && row->routing[0].load.empty() && loads_ == nullptr &&
                          !std::filesystem::exists(loads_path_);
    require<DataError>(!has_none, loads_path_.string(), ": got no such file; need the loads that ", place(),
                       " leaves to it");
    return find_loads(row->step, "", row->routing, wants_load_(row->step));
  }
  if (auto* row = std::get_if<EvaluationRow>(&line))
    for (auto& [data, result] : row->eval)
      if (!find_loads(row->step, data, result.routing, true)) return false;
  return true;
}

bool RunReader::find_loads(int64_t step, const std::string& data, std::vector<LayerRouting>& routing, bool is_wanted) {
  if (routing.empty() || !routing[0].load.empty()) return true;
  if (loads_ == nullptr && !std::filesystem::exists(loads_path_))
    return true;  // an evaluation that was made without loads
  if (loads_ == nullptr) loads_ = std::make_unique<LoadReader>(loads_path_);
  if (!loads_->next(step, data)) return false;
  if (is_wanted) loads_->read(routing);
  return true;
}

std::vector<RunLine> read_run_lines(const std::filesystem::path& metrics) {
  RunReader reader(metrics, all_loads);
  std::vector<RunLine> out;
  while (auto line = reader.next()) out.push_back(std::move(*line));
  return out;
}

int64_t last_step_in(const std::filesystem::path& metrics) {
  constexpr int64_t kPiece = 1 << 16;
  const InputFile file(metrics);
  const int64_t size = file.size_bytes();
  std::string tail;
  const auto whole_line = [&]() -> std::optional<std::string_view> {
    const size_t end = tail.rfind('\n');
    if (end == std::string::npos) return std::nullopt;
    const size_t begin = end == 0 ? std::string::npos : tail.rfind('\n', end - 1);
    if (begin == std::string::npos && static_cast<int64_t>(tail.size()) < size) return std::nullopt;
    return std::string_view(tail).substr(begin + 1, end - begin - 1);
  };
  while (!whole_line() && static_cast<int64_t>(tail.size()) < size) {
    tail.resize(static_cast<size_t>(std::min(size, 2 * static_cast<int64_t>(tail.size()) + kPiece)));
    if (!file.read(size - static_cast<int64_t>(tail.size()), tail.data(), tail.size())) break;
  }
  const auto line = whole_line();
  if (!line) return 0;
  try {
    return step_of(run_line(Json::parse(*line, metrics.string()), metrics.string()));
  } catch (const DataError&) {
    return 0;  // whoever reads the lines gets the number of the one that is damaged
  }
}

}  // namespace evenkeel::record
