// Runs of a tiny recipe, for the tests of train.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/manifest.h"
#include "core/json_lines.h"
#include "core/file_io.h"
#include "core/log.h"
#include "ops/device.h"
#include "support/tiny_run.h"
#include "train/trainer.h"

namespace evenkeel::testing {

namespace fs = std::filesystem;
using train::RunConfig;
using train::TrainOptions;
using train::TrainOutcome;

class RunTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ops::set_threads(1);
    set_quiet(true);
  }
  void SetUp() override { write_tiny_sets(folder_); }

  RunConfig config(const std::vector<std::string>& overrides = {}) const {
    return tiny_config(folder_.path(), overrides);
  }
  TrainOptions options(const std::string& run) const {
    TrainOptions out;
    out.run = folder_ / run;
    out.recipe_text = "# a recipe\n";
    out.device = "cpu";
    out.tensorboard = false;
    out.on_step = [](int64_t, int64_t, const std::string&) {};
    return out;
  }
  TrainOutcome train(const std::string& run, const std::vector<std::string>& overrides = {}, bool resume = false,
                     bool allow_change = false) const {
    auto with = options(run);
    with.resume = resume;
    with.allow_change = allow_change;
    return train::train_run(config(overrides), with);
  }
  std::filesystem::path checkpoint(const std::string& run, int64_t step) const {
    return folder_ / run / "checkpoints" / evenkeel::checkpoint::step_folder_name(step);
  }

  // The lines of a run without what the clock put into them.
  std::vector<std::string> timeless_lines(const std::string& run) const {
    std::vector<std::string> out;
    for (auto& line : read_json_lines(folder_ / run / "metrics.jsonl")) {
      for (const char* key : {"seconds", "tokens_per_second", "gemm_fraction"})
        std::erase_if(line.as_object(), [&](const auto& entry) { return entry.first == key; });
      out.push_back(line.dump());
    }
    return out;
  }
  void expect_same_end(const std::string& left, const std::string& right, int64_t last_step = 10) const {
    EXPECT_EQ(timeless_lines(left), timeless_lines(right));
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
      EXPECT_EQ(read_file(checkpoint(left, last_step) / file), read_file(checkpoint(right, last_step) / file))
          << left << " " << file;
  }
  TemporaryFolder folder_;
};

}  // namespace evenkeel::testing
