// Hand-made run folders: resolved.json and metrics.jsonl whose figures a test can do by hand.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/file_io.h"
#include "core/json.h"
#include "support/tiny_run.h"

namespace evenkeel::testing {

// A step line with the MRI of each layer.
inline Json made_step(int64_t step, const std::string& phase, const std::vector<double>& mri, double seconds = 0.5) {
  Json line = Json::object(), routing = Json::array();
  for (size_t layer = 0; layer < mri.size(); ++layer) routing.push_back(Json::Object{{"layer", static_cast<int64_t>(layer)}, {"mri", mri[layer]}, {"dropped", 0.0}, {"load", Json::Array{0.5, 0.5, 0.0, 0.0}}});
  line["step"] = step;
  line["phase"] = phase;
  line["loss"] = 3.0;
  line["seconds"] = seconds;
  line["tokens_per_second"] = 32 / seconds;
  line["routing"] = std::move(routing);
  return line;
}

inline Json made_result(double loss, const std::vector<double>& mri = {}) {
  Json result = Json::object(), routing = Json::array();
  for (size_t layer = 0; layer < mri.size(); ++layer) routing.push_back(Json::Object{{"layer", static_cast<int64_t>(layer)}, {"mri", mri[layer]}, {"entropy", 0.9}, {"dead", 1}, {"dropped", 0.0}});
  result["loss"] = loss;
  result["perplexity"] = loss * 10;  // tables copy it
  result["routing"] = std::move(routing);
  return result;
}
inline Json made_evaluation(int64_t step, const std::string& phase, Json::Object results) {
  return Json::Object{{"step", step}, {"phase", phase}, {"tokens", step * 32}, {"eval", std::move(results)}};
}

inline void write_made_run(const std::filesystem::path& run, const train::RunConfig& config, const std::vector<Json>& lines) {
  std::filesystem::create_directories(run);
  write_file_atomically(run / "resolved.json", train::run_config_json(config).dump(1));
  std::string text;
  for (const auto& line : lines) text += line.dump() + "\n";
  write_file_atomically(run / "metrics.jsonl", text);
}

}  // namespace evenkeel::testing
