// The tables of a study: those of its runs, throughput against dense, tokens to reach a loss, and the mean
// and spread over seeds of each.
#pragma once

#include "core/table.h"
#include "study/speed.h"
#include "train/results.h"

namespace evenkeel::study {

train::NamedTables study_tables(const std::vector<train::Arm>& arms, const Speeds& speeds);

// A sentence that names the arms whose speed was measured on a busy machine; empty where none was.
std::string busy_note(const std::vector<train::Arm>& arms, const Speeds& speeds);

// The mean and sample standard deviation (n - 1; null for one) over arms of a group. `keys` are the columns that
// identify a row besides the arm; other numeric columns become X_mean, X_std and X_n, the arms that have the figure,
// but for standard errors (X_se), which are those of one arm.
Table summarize(const Table& table, const std::vector<std::string>& keys, const std::vector<train::Arm>& arms);

// Sentences that answer the study's questions, the answer first. Empty where nothing compares.
std::vector<std::string> study_headlines(const std::vector<train::Arm>& arms, const train::NamedTables& tables);
// These, and what must be known beside them: "headlines" of results.json.
std::vector<std::string> headlines_and_notes(const std::vector<train::Arm>& arms, const train::NamedTables& tables,
                                             const Speeds& speeds);

}  // namespace evenkeel::study
