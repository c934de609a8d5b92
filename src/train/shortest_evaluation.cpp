#include "train/shortest_evaluation.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "core/errors.h"
#include "data/indexed_dataset.h"
#include "model/layout.h"
#include "train/interrupt.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;

// A new folder, which goes away with this: what is open in it stays readable.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_((fs::temp_directory_path() / "evenkeel-plan-XXXXXX").string()) {
    require<MachineError>(mkdtemp(path_.data()) != nullptr, path_, ": got '", std::strerror(errno),
                          "' on making a folder; need it to succeed (TMPDIR names another place)");
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  fs::path path() const { return path_; }

 private:
  std::string path_;
};

// A phase that is evaluated on two tokens, of which the second is scored.
PhaseConfig phase_of_two_tokens(const RunConfig& config, const fs::path& prefix) {
  data::IndexedDatasetWriter writer(prefix, config.model.vocab_size);
  writer.add_document({0, 0});
  writer.commit();
  EvalSource source;
  source.name = "shortest";
  source.path = {prefix.string(), prefix.string()};
  PhaseConfig phase;
  phase.name = "shortest";
  phase.eval.emplace();
  phase.eval->data.push_back(source);
  return phase;
}

}  // namespace

ShortestEvaluation::ShortestEvaluation(const RunConfig& config, const model::Transformer& model,
                                       const TrainState& state)
    : config_(config), model_(model), state_(state) {
  const TemporaryFolder folder;
  config_.model_from.reset();
  config_.phases = {phase_of_two_tokens(config, folder.path() / "set")};
  data_.open(config_);
  metrics_ = std::make_unique<record::MetricsFile>(folder.path() / "metrics.jsonl", /*last_step=*/0,
                                                   model::experts_in_all_layers(config.model));
}

record::EvaluationRow ShortestEvaluation::once() {
  auto line = evaluation_line({config_, config_.phases[0], model_, state_, data_});
  metrics_->write(line);
  return line;
}

double shortest_evaluation_seconds(const RunConfig& config, const model::Transformer& model, const TrainState& state) {
  using Clock = std::chrono::steady_clock;
  constexpr size_t kTimes = 6;  // the first warms up
  ShortestEvaluation evaluation(config, model, state);
  std::vector<double> seconds;
  for (size_t i = 0; i < kTimes && !stop_requested(); ++i) {
    const auto begin = Clock::now();
    evaluation.once();
    if (i > 0) seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  if (seconds.empty()) return 0;
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

}  // namespace evenkeel::train
