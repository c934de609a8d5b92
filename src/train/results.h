// results.json: the figures of a run, derived from the files that it left and from nothing else.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/table.h"
#include "train/arm.h"

namespace evenkeel::train {

using NamedTables = std::vector<std::pair<std::string, Table>>;
// Empty tables with their columns: forgetting, shift_mri, eval_mri, saturation, drops, warnings.
NamedTables new_tables();
Table& find_table(NamedTables& tables, const std::string& name);
const Table& find_table(const NamedTables& tables, const std::string& name);
// Adds the arms' rows to each.
void add_rows(const std::vector<Arm>& arms, NamedTables& tables);

// {"name", "group", "run", "parameters", ...} of results.json; `run` is the path to state there.
Json arm_json(const Arm& arm, const std::string& run);
// What a reader must know of the arms' routers before comparing losses: a sentence for each router
// and each capacity rule that is not causal.
std::vector<std::string> router_notes(const std::vector<Arm>& arms);
Json definitions_json();
Json tables_json(const NamedTables& tables);

// Writes results.json, and csv/TABLE.csv of each of its tables. ConfigError, and nothing is written, where a file there
// is none of evenkeel's.
void write_results(const std::filesystem::path& folder, const Json& results);

// DataError where a table in csv/ is missing or is not that of the folder's results.json.
void check_tables(const std::filesystem::path& folder);

// The whole results.json of one run, with the recipe.toml that lies in its folder; `machine` as of machine_json.
Json run_results(const Arm& arm, const Json& machine);

}  // namespace evenkeel::train
