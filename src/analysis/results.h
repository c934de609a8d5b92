// results.json of an analysis, and what stands at its head.
#pragma once

#include <string>
#include <vector>

#include "analysis/runner.h"
#include "core/json.h"

namespace evenkeel::analysis {

// What was run, for the head of results.json.
struct AnalysisRun {
  std::string model;  // as it was named
  Json model_json;    // shape of the model: layers, experts, k, ...
  Json data;          // one object a data set: name, source, path, tokens
  Json options;       // every option with its value
};

// The document (docs/analyses.md): schema, kind, title, headlines, definitions, model, data, options, tables, notes.
// Tables that go to CSV alone are not in it.
Json analysis_results(const AnalysisRun& run, const AnalysisTables& result);

// Sentences on the tables, the most telling rows first: imbalance against chance, dead experts, how far domains are
// apart, what is kept of the reference. Empty when there is nothing to say.
std::vector<std::string> analysis_headlines(const std::vector<NamedTable>& tables);

}  // namespace evenkeel::analysis
