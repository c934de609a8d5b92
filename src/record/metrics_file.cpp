#include "record/metrics_file.h"

#include <cmath>

#include "core/file_io.h"
#include "record/run_reader.h"

namespace evenkeel::record {
namespace {

void require_finite(const Json& value, const std::string& key, const std::string& where) {
  if (value.is_number())
    require<NumericsError>(std::isfinite(value.as_double()), where, ": got ", value.as_double(), " as '", key,
                           "'; need a finite number");
  if (value.is_array())
    for (const auto& entry : value.as_array()) require_finite(entry, key, where);
  if (value.is_object())
    for (const auto& [name, entry] : value.as_object())
      require_finite(entry, key.empty() ? name : key + "." + name, where);
}

}  // namespace

MetricsFile::MetricsFile(const std::filesystem::path& path, int64_t last_step, int64_t n_loads) {
  int64_t kept = 0, kept_loads = 0;
  if (last_step > 0) {
    if (!std::filesystem::exists(path)) write_file_atomically(path, "");
    RunReader reader(path, all_loads);  // all that the run goes on from is whole
    int64_t reached = 0;
    for (auto line = reader.next(); line && step_of(*line) <= last_step; line = reader.next()) {
      remember(*line);
      reached = reader.step();
      kept = reader.end_byte();
      kept_loads = reader.loads_end_byte();
    }
    require<DataError>(reached == last_step, path.string(), ": got lines up to step ", reached,
                       "; need those up to step ", last_step, ", which the checkpoint goes on from");
  }
  const auto loads_path = path.parent_path() / "load.columns";
  if (n_loads > kMostLoadsInLines) {
    loads_ = std::make_unique<LoadWriter>(loads_path, kept_loads);
  } else if (last_step == 0) {
    std::filesystem::remove(loads_path);  // of an earlier run in this folder
  }
  lines_ = std::make_unique<AppendFile>(path, kept);
}

void MetricsFile::remember(const RunLine& line) {
  if (step_of(line) != step_) kinds_.clear();
  step_ = step_of(line);
  kinds_.insert(line.index());
}

// The loads of a line that no longer has them.
void MetricsFile::take_loads(RunLine& line) {
  const int64_t step = step_of(line);
  const auto take = [&](const std::string& data, std::vector<LayerRouting>& routing) {
    loads_->append(step, data, routing);
    for (auto& layer : routing) layer.load.clear();
  };
  if (auto* row = std::get_if<StepRow>(&line)) take("", row->routing);
  if (auto* row = std::get_if<EvaluationRow>(&line))
    for (auto& [data, result] : row->eval) take(data, result.routing);
}

void MetricsFile::write(RunLine line) {
  Json json = to_json(line);
  require_finite(json, "", lines_->path().string() + ", step " + std::to_string(step_of(line)));
  if (loads_ != nullptr) {
    take_loads(line);
    json = to_json(line);
  }
  lines_->append(json.dump() + "\n");
  remember(line);
}

void MetricsFile::sync() {
  if (loads_ != nullptr) loads_->sync();
  lines_->sync();
}

}  // namespace evenkeel::record
