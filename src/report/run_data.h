// What a page holds of a run: the figures that its charts draw, each of them exact, in columns.
#pragma once

#include <filesystem>

#include "core/json.h"
#include "report/columns.h"

namespace evenkeel::report {

struct RunDataOptions {
  bool has_speed = true;  // each step's tokens per second; a page with a throughput table does without
};

// {"resolved", "recipe", "evals", "saturation", "phases"} of a run folder. `evals` are its lines of metrics.jsonl
// without the routing (eval_mri has it), absolute paths of `resolved` and `recipe` are cut to their last part, `phases`
// the steps of each phase in order:
//   {"name", "columns": {"step", "tokens", "loss" (the cross-entropy where it is told apart), "lr", "tokens_per_second"
//   (as asked)},
//    "layers": [{"layer", "mri", "entropy", "dead", "dropped", "load"}], "load_rows": [...]}
// Columns as in ColumnPool; `load` holds the loads of the steps load_rows (counted from 0 in the phase) one after the
// other: every step of a run of up to 240 (fewer of a model of very many experts), else every n-th and the last. A run
// of more than 4,096 steps has every n-th step, the first and last of each phase, and n as "stride". DataError for
// files that are no run's.
Json run_data(const std::filesystem::path& run, const RunDataOptions& options, ColumnPool& columns);

}  // namespace evenkeel::report
