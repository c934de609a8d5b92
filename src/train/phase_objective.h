// Which objective the text of each source is made into, as a run's configuration says.
#pragma once

#include <memory>
#include <vector>

#include "core/json.h"

namespace evenkeel::data {
class Objective;
}

namespace evenkeel::train {

struct DataSource;
struct PhaseConfig;
struct RunConfig;

// ConfigError for keys that its kind does not know, or that do not fit the model and the sequences.
std::unique_ptr<data::Objective> phase_objective(const RunConfig& config, const PhaseConfig& phase);
// Of a source of the phase, its own data or replay.data: the one that it names, else the phase's.
std::unique_ptr<data::Objective> source_objective(const RunConfig& config, const PhaseConfig& phase,
                                                  const DataSource& source);
// Makes every objective, so that each refuses what it cannot be. ConfigError too for one that needs masks where the
// model's attention takes none.
void check_objectives(const RunConfig& config);
// In `json`, the list of `sources` as resolved.json has it: of each the objective that it names, whole; none where it
// names none.
void resolve_objectives(const RunConfig& config, const PhaseConfig& phase, const std::vector<DataSource>& sources,
                        Json& json);

}  // namespace evenkeel::train
