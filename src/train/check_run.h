// Whether a run's own account of itself holds together: resolved.json, metrics.jsonl and results.json.
#pragma once

#include <filesystem>

namespace evenkeel::train {

// DataError with the first fault: of metrics.jsonl, in itself (record/run_reader.h) or beside the recipe and model of
// resolved.json, and where there is a results.json, a last line that is torn, steps that are missing at the end, loads
// beyond those of the last line, the first key of results.json that is not what the run's files give, and a table in
// csv/ that is not that of results.json. Where resolved.json is not that of the last checkpoint, or of the learning
// rates of the lines, it is the file that is named. "machine" and "recipe" are not compared, nor "definitions" of
// another version of evenkeel: the first is measured, recipe.toml may have got notes since, and the third is text of
// the program.
void check_run_files(const std::filesystem::path& run);

}  // namespace evenkeel::train
